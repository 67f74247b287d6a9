"""The turns of a run: immutable, content-addressed, a chain by their parents.

Invariant: one turn a (run, lineage); a turn, the signature of its snapshot, the `refs` row that retains it and the
run's head are written together.
A run entered again at an older turn branches: several turns may then have one number.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from sqlite3 import Connection
from typing import Any

from rlm_agent.crash_points import reach
from rlm_agent.errors import HomeError
from rlm_agent.store.database import Database
from rlm_agent.store.fence import Fence
from rlm_agent.store.plain import pack, unpack
from rlm_agent.store.records import TurnRecord
from rlm_agent.store.runs import touch
from rlm_agent.store.signatures import Signatures, sign_op
from rlm_agent.store.turn_ids import turn_id
from rlm_agent.store.versions import check_version
from rlm_agent.store.writer import Op

__all__ = ["Turns", "read_turns", "snapshot_of", "turn_id"]

_CHAIN = """
    WITH RECURSIVE chain (id, parent, depth) AS (
        SELECT id, parent, 0 FROM turns WHERE id = ?
        UNION ALL SELECT t.id, t.parent, depth + 1 FROM turns t JOIN chain ON t.id = chain.parent)
    SELECT t.id, t.version, t.body FROM chain JOIN turns t ON t.id = chain.id ORDER BY depth DESC"""


_TurnList = list[TurnRecord]  # `list` is a method below


def snapshot_of(connection: Connection, turn: TurnRecord) -> str | None:
    """The blob key of the snapshot that holds the namespace after a turn: what must be kept for it, and carried along.

    The one place that knows this; who vouches for it is `signatures.py`'s.
    """
    row = connection.execute("SELECT snapshot FROM snapshots WHERE turn = ?", (turn.id,)).fetchone()
    return turn.snapshot if row is None else str(row[0])


def read_turns(connection: Connection, ids: Iterable[str]) -> Iterator[TurnRecord]:
    """Those of the turns that are there."""
    for id in ids:
        row = connection.execute("SELECT id, version, body FROM turns WHERE id = ?", (id,)).fetchone()
        if row is not None:
            yield _turn_from(row)


class Turns:
    """The turns of one home."""

    def __init__(self, database: Database, signatures: Signatures) -> None:
        self._database = database
        self._signatures = signatures

    def get(self, id: str) -> TurnRecord:
        """A turn by its id.

        Raises:
            HomeError: there is none.
        """
        found = self._select("WHERE id = ?", id)
        if not found:
            raise HomeError(f"No turn {id!r} in the home {self._database.path}.")
        return found[0]

    def by_lineage(self, run: str, lineage_before: str) -> TurnRecord | None:
        """The newest turn of a run that descends from a lineage."""
        return _one(
            self._select("WHERE run = ? AND lineage_before = ? ORDER BY rowid DESC LIMIT 1", run, lineage_before)
        )

    def list(self, run: str, after: int = 0) -> _TurnList:
        """The turns of a run with a number above `after`, in order; branches side by side."""
        return self._select("WHERE run = ? AND number > ? ORDER BY number, rowid", run, after)

    def chain(self, id: str) -> _TurnList:
        """A turn and all it descends from, the first one first."""
        with self._database.reading() as connection:
            rows = connection.execute(_CHAIN, (id,)).fetchall()
        return [_turn_from(row) for row in rows]

    def head(self, run: str) -> TurnRecord | None:
        """The turn that the run stands at; None before its first."""
        return _one(self._select("WHERE id = (SELECT head FROM runs WHERE id = ?)", run))

    async def add(self, turn: TurnRecord, fence: Fence | None = None, *, also: Op[Any] | None = None) -> TurnRecord:
        """Records a turn, retains it and makes it the run's head, with `also` in the same transaction.

        Returns:
            The turn, with its id where it had none; or the stored turn of the same run and lineage, in which case
            nothing is written and `also` is not run: it was, with that turn.

        Raises:
            LeaseLost: the fence's lease was taken over.
        """
        whole = turn if turn.id else replace(turn, id=turn_id(turn.plain()))
        sign = None
        if whole.snapshot is not None:
            key = await self._database.read(self._signatures.signer.key)
            sign = sign_op(key, whole.id, whole.snapshot)
        reach("turn.before")
        stored = await self._database.commit(_add_op(whole, sign, also), fence=fence)
        reach("turn.written")
        return stored

    def _select(self, where: str, *values: object) -> _TurnList:
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT id, version, body FROM turns {where}", values).fetchall()
        return [_turn_from(row) for row in rows]


def _add_op(whole: TurnRecord, *further: Op[Any] | None) -> Op[TurnRecord]:
    """The transaction of `add`: the stored turn of this lineage, or this one and what else is to be written with it."""
    body = pack(whole.plain())

    def op(connection: Connection) -> TurnRecord:
        query = "SELECT id, version, body FROM turns WHERE run = ? AND lineage = ?"
        stored = connection.execute(query, (whole.run, whole.lineage)).fetchone()
        if stored is not None:
            return _turn_from(stored)
        _insert(connection, whole, body)
        for write in filter(None, further):
            write(connection)
        return whole

    return op


def _insert(connection: Connection, turn: TurnRecord, body: bytes) -> None:
    connection.execute(
        "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (turn.id, turn.run, turn.number, turn.parent, turn.lineage_before, turn.lineage, turn.version, body),
    )
    connection.execute(
        "INSERT OR REPLACE INTO refs (run, path, turn, at) "
        "SELECT ?, IFNULL((SELECT path FROM runs WHERE id = ?), ''), ?, ?",
        (turn.run, turn.run, turn.id, turn.at),
    )
    connection.execute("UPDATE runs SET head = ? WHERE id = ?", (turn.id, turn.run))
    touch(connection, turn.run)


def _one(turns: list[TurnRecord]) -> TurnRecord | None:
    return turns[0] if turns else None


def _turn_from(row: tuple[str, int, bytes]) -> TurnRecord:
    id, version, body = row
    check_version(version, f"Turn {id}")
    return TurnRecord.from_plain(unpack(body))
