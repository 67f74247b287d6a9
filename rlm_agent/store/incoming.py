"""Taking a run out of an archive into this home: all of it, or nothing.

Invariant: every blob, corpus, page and turn is what its digest says; every record belongs to a run of the archive; all
that is named is there; rows are written in one transaction, after all bytes are on disk, and never over rows that are
here. Bytes of an import that is refused are left to the sweep. Whether the archive may be trusted is asked before.
"""

import shutil
from collections.abc import Iterable, Iterator
from sqlite3 import Connection, IntegrityError
from typing import Any

import msgpack

from rlm_agent.errors import ConfigError, SnapshotCorrupt
from rlm_agent.repl.manifest import Manifest, ManifestError
from rlm_agent.store.bundle import TABLES, Bundle
from rlm_agent.store.handle import is_handle
from rlm_agent.store.home import Home
from rlm_agent.store.incoming_rows import insert
from rlm_agent.store.pages import StoredPages
from rlm_agent.store.plain import digest, unpack
from rlm_agent.store.records import RunRecord, TurnRecord
from rlm_agent.store.signing import Key
from rlm_agent.store.turn_ids import turn_id
from rlm_agent.store.versions import check_version
from rlm_agent.store.writer import Op

__all__ = ["Incoming"]

Row = dict[str, Any]
_QUESTION = {"digest", "message", "earlier", "context", "context_digest", "first_turn", "genesis", "parent"}
_NAMED = (str, type(None))
_TURN: dict[str, Any] = {
    **dict.fromkeys(("run", "lineage", "lineage_before", "reply_key", "code", "output", "shown"), str),
    **dict.fromkeys(("number", "question"), int),
    **dict.fromkeys(("parent", "snapshot", "output_ref"), _NAMED),
    "answer": dict,
}


def _check_types(turn: TurnRecord) -> None:
    for name, kinds in _TURN.items():
        if not isinstance(getattr(turn, name), kinds):
            raise TypeError(f"{name} is a {type(getattr(turn, name)).__name__}")


class Incoming:
    """A run on its way in: its records, read and checked.

    Args:
        home: where it is to be.
        bundle: the archive.
        thread: the thread that it is to have; None: the one that it had.

    Attributes:
        run: its record, under that thread.

    Raises:
        ConfigError: the archive is damaged, or its records do not fit together.
        SnapshotCorrupt: a turn is not what its id says, or a snapshot is none.
        StateVersionError: a newer version wrote some of it.
    """

    def __init__(self, home: Home, bundle: Bundle, thread: str | None) -> None:
        self._home, self._bundle = home, bundle
        self._rows: dict[str, list[Row]] = {table: [] for table in TABLES}
        for table, row in bundle.records():
            check_version(row.get("version", 0), f"A record of {table} in the archive")
            self._rows[table].append(row)
        self._turns = {row["id"]: self._turn(row) for row in self._rows["turns"]}
        self.run = self._own_run(thread)
        self._check_ties()
        self._corpora = {context["digest"] for context in map(self._context, self._rows["questions"]) if context}
        self._keys = set(self._named_keys())
        self._need("blobs", self._keys)
        self._need("corpora", self._corpora)

    def store(self) -> None:
        """Puts blobs, corpora and pages into the home. Blocks.

        Raises:
            SnapshotCorrupt: one of them is not what its digest says.
            HomeError: there is no room for them.
        """
        free = shutil.disk_usage(self._home.path).free
        if self._bundle.unpacked > free:
            raise self._bad(f"it unpacks to {self._bundle.unpacked:,} bytes, and {free:,} are free in the home")
        for key in sorted(self._keys):
            self._home.blobs.put_sync(self._blob(key))
        for name in sorted(self._corpora):
            with self._bundle.member(f"corpora/{name}/data") as data:
                self._home.corpora.receive(name, data, self._bundle.read(f"corpora/{name}/index"))
        pages = StoredPages(self._home.path)
        for name in self._bundle.names("pages"):
            if not pages.receive(name, self._bundle.read(f"pages/{name}")):
                raise SnapshotCorrupt(f"pages/{name} in the archive is damaged: it is not the page of its name.")

    def op(self, key: Key) -> Op[None]:
        """The transaction that makes the run be there. It signs the snapshots with this home's key."""

        def op(connection: Connection) -> None:
            if connection.execute("SELECT 1 FROM runs WHERE id = ?", (self.run.id,)).fetchone():
                raise ConfigError(f"Run {self.run.id} is in the home {self._home.path} already: see `rlm threads`.")
            if connection.execute("SELECT 1 FROM runs WHERE thread = ?", (self.run.thread,)).fetchone():
                raise ConfigError(
                    f"Thread {self.run.thread!r} has a run in the home {self._home.path}: give --thread ID another one."
                )
            try:
                insert(connection, self._rows, self._turns, key)
            except IntegrityError as error:
                raise self._bad(f"some of its records are here already, or twice in it ({error})") from error

        return op

    def _bad(self, why: str) -> ConfigError:
        return self._bundle.bad(why)

    def _turn(self, row: Row) -> TurnRecord:
        try:
            plain = unpack(row["body"])
            turn = TurnRecord.from_plain(plain)
            whole = turn.id == row["id"] and turn_id(plain) == turn.id and turn.version == row["version"]
            _check_types(turn)
        except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
            raise SnapshotCorrupt(f"Turn {row['id'][:64]} in the archive is no record of a turn: {error}.") from error
        if not whole:
            raise SnapshotCorrupt(f"Turn {row['id'][:64]} in the archive was changed: it does not hash to its id.")
        return turn

    def _own_run(self, thread: str | None) -> RunRecord:
        """The one run that is neither the remains of one nor a child; its row and its children's get the thread."""
        whole = [row for row in self._rows["runs"] if not row["removed"]]
        own = [row for row in whole if row["parent"] is None]
        if len(own) != 1 or own[0]["id"] != self._bundle.manifest.get("run"):
            raise self._bad("it does not hold one run")
        name = thread or own[0]["thread"]
        if not name:
            raise ConfigError("The run in the archive has no thread: give --thread ID.")
        for row in whole:
            row["thread"] = name
        fields = ("id", "thread", "path", "name", "created", "salt", "forked_from", "forked_at", "version")
        return RunRecord(**{field: own[0][field] for field in fields})

    def _check_ties(self) -> None:
        """Everything belongs to something that is in the archive, and descends from something that ends."""
        runs = {row["id"]: row["forked_from"] for row in self._rows["runs"]}
        notes = {row["id"] for row in self._rows["notes"]}
        tied: list[tuple[str, Iterable[Any], Iterable[Any]]] = [
            ("run", (row["run"] for table in self._rows.values() for row in table if "run" in row), runs),
            ("run", (turn.run for turn in self._turns.values()), runs),
            ("run", (origin for origin in runs.values() if origin), runs),
            ("run", (row["parent"] for row in self._rows["runs"] if row["parent"]), runs),
            ("turn", (turn.parent for turn in self._turns.values() if turn.parent), self._turns),
            ("turn", (row["head"] for row in self._rows["runs"] if row["head"]), self._turns),
            ("turn", (row["turn"] for row in self._rows["snapshots"]), self._turns),
            ("note", (row["note"] for row in self._rows["adopted_notes"]), notes),
        ]
        for what, named, there in tied:
            if lacking := set(named) - set(there):
                raise self._bad(f"it names the {what} {str(min(lacking, key=str))[:64]}, which is not in it")
        if any(row["thread"] or row["head"] for row in self._rows["runs"] if row["removed"]):
            raise self._bad("it holds more than one run")
        if not any(row["run"] == self.run.id for row in self._rows["questions"]):
            raise self._bad("its run has no question")
        parents = {row["id"]: row["parent"] for row in self._rows["runs"]}
        for run in runs:
            self._check_descent(run, runs)
            self._check_descent(run, parents)

    def _check_descent(self, of: str, runs: dict[str, str | None]) -> None:
        seen: set[str] = set()
        run: str | None = of
        while run is not None:
            if run in seen:
                raise self._bad("a run in it descends from itself")
            seen.add(run)
            run = runs[run]

    def _context(self, row: Row) -> Row | None:
        """The handle of a question's context, the question's record being one."""
        try:
            body = unpack(row["body"])
            message, context = body["message"], body["context"]
            whole = (
                set(body) == set(_QUESTION) and isinstance(message["text"], str) and isinstance(body["earlier"], list)
            )
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            raise self._bad(f"question {row['number']} is no record of a question") from error
        if not whole or not (context is None or is_handle(context)):
            raise self._bad(f"question {row['number']} is no record of a question")
        return None if context is None else dict(context)

    def _named_keys(self) -> Iterator[str]:
        """The blobs that the records name."""
        for turn in self._turns.values():
            yield from (key for key in (turn.output_ref, turn.answer.get("ref")) if key)
        yield from (row["body_ref"] for row in self._rows["steps"] if row["body_ref"])
        for row in self._rows["snapshots"]:
            yield row["snapshot"]
            try:
                yield from Manifest.decode(self._blob(row["snapshot"])).key_list()
            except ManifestError as error:
                raise SnapshotCorrupt(
                    f"Snapshot {row['snapshot'][:64]} in the archive cannot be read: {error}."
                ) from error

    def _need(self, folder: str, names: set[str]) -> None:
        if lacking := names - set(self._bundle.names(folder)):
            raise SnapshotCorrupt(f"{folder}/{str(min(lacking, key=str))[:64]} is missing in the archive.")

    def _blob(self, key: str) -> bytes:
        self._need("blobs", {key})
        data = self._bundle.read(f"blobs/{key}")
        if digest(data) != key:
            raise SnapshotCorrupt(f"Blob {key} in the archive is damaged: its bytes do not hash to its key.")
        return data
