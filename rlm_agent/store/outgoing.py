"""Writing a run, with all that it needs, into one archive for another home.

Invariant: what is written is one consistent state of the run, also while it goes on; nothing of a key, a lease or
another run is in it. Its children travel whole; of runs that it was forked from it holds what the run needs, see
`reach.origins`. A turn whose variables were given up or lost travels without them.
"""

import json
import os
import platform
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from rlm_agent.repl.manifest import Manifest
from rlm_agent.store.blobs import Blobs
from rlm_agent.store.bundle import FORMAT, MANIFEST, RECORDS, TABLES
from rlm_agent.store.home import Home
from rlm_agent.store.pages import StoredPages, pages_named
from rlm_agent.store.plain import pack, unpack
from rlm_agent.store.reach import family, origins
from rlm_agent.store.records import RunRecord, TurnRecord
from rlm_agent.store.turns import read_turns, snapshot_of

__all__ = ["export_run"]

_TURNS = """
    WITH RECURSIVE family (id) AS (
        SELECT :run UNION SELECT r.id FROM family JOIN runs r ON r.parent = family.id),
    needed (id) AS (
        SELECT id FROM turns WHERE run IN (SELECT id FROM family)
        UNION SELECT head FROM runs WHERE id IN (SELECT id FROM family) AND head IS NOT NULL
        UNION SELECT turn FROM refs WHERE run IN (SELECT id FROM family)
        UNION SELECT t.parent FROM needed JOIN turns t ON t.id = needed.id WHERE t.parent IS NOT NULL)
    SELECT t.id FROM needed JOIN turns t ON t.id = needed.id ORDER BY t.number, t.rowid"""
_RETAINED = "SELECT 1 FROM refs WHERE turn = ?"
_ALL = 1 << 62
_PACKED = zipfile.ZIP_DEFLATED
_REMAINS = {"thread": None, "head": None, "question": None, "removed": 1}


def export_run(home: Home, run: RunRecord, file: Path, start: Mapping[str, Any] | None = None) -> int:
    """Writes a run into a new archive.

    Args:
        home: where the run is.
        run: the run.
        file: where to; it appears when it is whole, and replaces what is there.
        start: how the command line started the thread, or None.

    Returns:
        Its size in bytes.

    Raises:
        HomeError: something that the run needs is damaged; the message names it.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with (
            open(descriptor, "wb") as out,
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as z,
        ):
            with home.reading() as connection:
                _Outgoing(home.blobs, connection, run.id).write(z, home.path)
            z.writestr(MANIFEST, json.dumps(_manifest(run, start), ensure_ascii=False, indent=1))
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return file.stat().st_size


def _manifest(run: RunRecord, start: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "rlm_export": FORMAT,
        "thread": run.thread,
        "name": run.name,
        "run": run.id,
        "python": platform.python_version(),
        "start": None if start is None else dict(start),
    }


class _Outgoing:
    """One run on its way out, at one state of the home."""

    def __init__(self, blobs: Blobs, connection: Connection, run: str) -> None:
        self._blobs, self._connection, self._run = blobs, connection, run
        self._own = family(connection, run)
        self._last = {**dict.fromkeys(self._own, _ALL), **origins(connection, run)}
        ids = [id for (id,) in connection.execute(_TURNS, {"run": run})]
        self._turns = list(read_turns(connection, ids))
        self._keys: dict[str, None] = {}
        self._corpora: dict[str, None] = {}
        self._pages: dict[str, str] = {}

    def write(self, archive: zipfile.ZipFile, home: Path) -> None:
        """Writes everything but the manifest."""
        with archive.open(RECORDS, "w", force_zip64=True) as out:
            for table, row in self._records():
                out.write(pack([table, list(row.values())]))
        for key in self._keys:
            archive.writestr(f"blobs/{key}", self._blobs.get(key), zipfile.ZIP_STORED)
        for digest in self._corpora:
            for name in ("data", "index"):
                archive.write(home / "corpora" / digest / name, f"corpora/{digest}/{name}")
        for name, sha256 in self._pages.items():
            if (page := StoredPages(home).packed(name, sha256)) is not None:
                archive.writestr(f"pages/{name}", page)

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All records, runs first; on the way, what blobs, corpora and pages they name."""
        for run in self._last:
            for row in self._rows("runs", "id = ?", run):
                yield "runs", row if run in self._own else {**row, **_REMAINS}
        yield from self._questions()
        for turn in self._turns:
            self._name(turn.output_ref, turn.answer.get("ref"))
            yield "turns", {"id": turn.id, "version": turn.version, "body": pack(turn.plain())}
            if (key := self._snapshot(turn)) is not None:
                yield "snapshots", {"turn": turn.id, "snapshot": key}
        for run, last in self._last.items():
            yield from self._paid(run, last)
        for row in self._rows("extensions", "run = ?", self._run):
            yield "extensions", row

    def _questions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Of a run that was left, the questions that the turns answer which are shared with it."""
        newest = {turn.run: turn.question for turn in self._turns}
        for run in self._last:
            own = run in self._own
            for row in self._rows("questions", "run = ? AND number <= ?", run, _ALL if own else newest.get(run, 0)):
                context = unpack(row["body"])["context"]
                if context is not None:
                    self._corpora[str(context["digest"])] = None
                yield "questions", row if own else {**row, "find_key": None, "result": None}

    def _paid(self, run: str, last: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The ledger and the notes of a run up to a turn."""
        for row in self._rows("steps", "run = ? AND turn <= ?", run, last):
            self._name(row["body_ref"])
            if row["kind"] == "tool":
                body = row["body"] if row["body_ref"] is None else self._blobs.get(row["body_ref"])
                for name, sha256 in pages_named(unpack(body)):
                    self._pages.setdefault(name, sha256)
            yield "steps", row
        adopted = f"id IN (SELECT note FROM adopted_notes WHERE run IN ({', '.join('?' * len(self._last))}))"
        wanted = f"run = ? AND ({'1' if run == self._run else f'turn <= {last:d}'} OR {adopted})"
        for row in self._rows("notes", wanted, run, *self._last):
            yield "notes", row
        for row in self._rows("adopted_notes", "run = ?", run):
            yield "adopted_notes", row

    def _rows(self, table: str, where: str, *values: object) -> list[dict[str, Any]]:
        columns = TABLES[table]
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE {where} ORDER BY rowid"
        return [dict(zip(columns, row, strict=True)) for row in self._connection.execute(query, values)]

    def _snapshot(self, turn: TurnRecord) -> str | None:
        """The key of a turn's snapshot if all of it is there."""
        key = snapshot_of(self._connection, turn)
        if key is None or not self._connection.execute(_RETAINED, (turn.id,)).fetchone() or not self._blobs.has(key):
            return None
        leaves = Manifest.decode(self._blobs.get(key)).key_list()
        if self._blobs.missing(list(dict.fromkeys(leaves))):
            return None
        self._name(key, *leaves)
        return key

    def _name(self, *keys: str | None) -> None:
        self._keys.update((key, None) for key in keys if key)
