"""What of the home's blobs, corpora and pages is still needed, found from its own rows.

    turns that a `refs` row retains, and heads of runs    -> the snapshot after each: a manifest and its leaves
    all turns                                             -> output and answer, where these are blobs
    all steps                                             -> bodies that are blobs, and pages that tools read
    all questions                                         -> corpora

Invariant: what is marked stays marked; `catch_up` adds what was retained since. A blob that was put and is named by no
row yet is not here: its age protects it, see `sweep.py`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from sqlite3 import Connection

from rlm_agent.errors import HomeError, SnapshotCorrupt
from rlm_agent.repl.manifest import Manifest, ManifestError
from rlm_agent.store.blobs import Blobs
from rlm_agent.store.pages import pages_named
from rlm_agent.store.plain import unpack
from rlm_agent.store.records import TurnRecord
from rlm_agent.store.turns import read_turns, snapshot_of

__all__ = ["Marks"]

_RETAINED = "SELECT turn FROM refs UNION SELECT head FROM runs WHERE head IS NOT NULL"


@dataclass(slots=True)
class Marks:
    """What is needed.

    Attributes:
        blobs: their keys.
        corpora: their digests.
        pages: their names, those of other bytes of the same address and day included.
        damaged: turns whose snapshot lost its manifest or never was whole: their leaves cannot be told.
    """

    blobs: set[str] = field(default_factory=set)
    corpora: set[str] = field(default_factory=set)
    pages: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)
    _every_page: bool = False  # a step that is damaged may name any
    _turns: set[str] = field(default_factory=set)
    _snapshots: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, connection: Connection, blobs: Blobs, without: Collection[str] = ()) -> "Marks":
        """Marks everything that is needed now, as if the turns in `without` were not retained.

        Raises:
            StateVersionError: a newer version wrote some of it.
            HomeError: a snapshot is in a form that this version does not know.
        """
        marks = cls(_turns=set(without))
        marks.catch_up(connection, blobs)
        for (id,) in connection.execute("SELECT id FROM turns").fetchall():
            for turn in read_turns(connection, [id]):
                marks.blobs.update(_texts_of(turn))
        marks.blobs.update(key for (key,) in connection.execute("SELECT body_ref FROM steps WHERE body_ref NOTNULL"))
        for body, key in connection.execute("SELECT body, body_ref FROM steps WHERE kind = 'tool'"):
            marks._mark_pages(body, key, blobs)
        return marks

    def need(self, name: str) -> bool:
        """Whether a blob, corpus or page of this name is needed."""
        is_page = "/" in name
        return name in self.blobs or name in self.corpora or (is_page and (self._every_page or name in self.pages))

    def catch_up(self, connection: Connection, blobs: Blobs) -> None:
        """Marks the snapshots of turns that are retained by now, and the corpora that are asked about by now."""
        retained = {id for (id,) in connection.execute(_RETAINED)} - self._turns
        for turn in read_turns(connection, sorted(retained)):
            key = snapshot_of(connection, turn)
            if key is not None and key not in self._snapshots:
                self._mark_snapshot(turn, key, blobs)
        self._turns |= retained
        for (body,) in connection.execute("SELECT body FROM questions"):
            context = unpack(body)["context"]
            if context is not None:
                self.corpora.add(str(context.get("digest")))

    def _mark_pages(self, body: bytes | None, key: str, blobs: Blobs) -> None:
        try:
            step = blobs.get(key) if body is None else body
        except SnapshotCorrupt:
            self._every_page = True
            return
        for name, sha256 in pages_named(unpack(step)):
            self.pages.update((name, f"{name}-{sha256}"))

    def _mark_snapshot(self, turn: TurnRecord, key: str, blobs: Blobs) -> None:
        self._snapshots.add(key)
        self.blobs.add(key)
        try:
            manifest = blobs.get(key)
        except SnapshotCorrupt:
            self.damaged.append(turn.id)
            return
        try:
            self.blobs.update(Manifest.decode(manifest).key_list())
        except ManifestError as error:  # its bytes are what was stored, so it is whole, and not ours to judge
            raise HomeError(
                f"The snapshot of turn {turn.number} of run {turn.run} cannot be understood, so that nothing may be "
                f"freed ({error}). Upgrade langgraph-rlm, or remove that run."
            ) from error


def _texts_of(turn: TurnRecord) -> list[str]:
    named = (turn.output_ref, turn.answer.get("ref"))
    return [key for key in named if key]
