"""The ledger: every step that was paid for, each under its key, each once.

Invariant: the first record of a key stands; `record` returns only when the record it returns is on disk.
How keys are made is not known here. Usage is a fold over the rows, never a counter of its own; that of a fork begins
with what the run it left had used by then.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, fields
from itertools import islice
from sqlite3 import Connection
from typing import Any, Literal

from rlm_agent.crash_points import reach
from rlm_agent.store.blobs import LARGE, Blobs
from rlm_agent.store.database import Database, settled
from rlm_agent.store.fence import Fence
from rlm_agent.store.plain import pack, unpack
from rlm_agent.store.reach import REACH
from rlm_agent.store.records import StepKind, StepRecord
from rlm_agent.store.versions import check_version
from rlm_agent.store.writer import Op

__all__ = ["Ledger", "UsageRow"]

_COLUMNS = tuple(f.name for f in fields(StepRecord) if f.name != "body")
_PLAIN = ", ".join(_COLUMNS)
_INSERT = f"INSERT OR IGNORE INTO steps ({_PLAIN}, body, body_ref) VALUES ({', '.join('?' * (len(_COLUMNS) + 2))})"
_CHUNK = 500

_SUMS = """
    SELECT role, model, SUM(calls), SUM(input_tokens), SUM(output_tokens), SUM(cached_tokens),
           CASE WHEN COUNT(usd) = COUNT(*) THEN TOTAL(usd) END"""
_USED = "role != '' AND calls > 0"
_GROUPED = "GROUP BY role, model ORDER BY role, model"
_REACHED = "FROM reach CROSS JOIN steps s ON s.run = reach.run WHERE (reach.until IS NULL OR s.turn <= reach.until)"
_RUN_USAGE = f"{REACH} {_SUMS} {_REACHED} AND question = IFNULL(?, question) AND {_USED} {_GROUPED}"
_CALLED = """
    WITH RECURSIVE called (id) AS (
        SELECT id FROM runs WHERE call = ? UNION SELECT r.id FROM called JOIN runs r ON r.parent = called.id)"""
_CALL_USAGE = f"{_CALLED} {_SUMS} FROM called JOIN steps ON child = called.id WHERE child != '' AND {_USED} {_GROUPED}"
_TURN_USAGE = f"{_SUMS} FROM steps WHERE run = ? AND turn = ? AND {_USED} {_GROUPED}"
_OF_KIND = f"""{REACH}
    SELECT {", ".join(f"s.{name}" for name in _COLUMNS)}, s.body, s.body_ref {_REACHED} AND s.kind = ? ORDER BY s.at"""
_COUNT = f"{REACH} SELECT COUNT(*) {_REACHED} AND kind = IFNULL(?, kind) AND question = IFNULL(?, question)"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one model did in one role. `usd` is None where the price of any of its calls is unknown."""

    role: Literal["root", "sub"]
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    usd: float | None


class Ledger:
    """The steps of one home."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def get(self, key: str) -> StepRecord | None:
        """The record of a key, or None where nothing was paid yet."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, StepRecord]:
        """The records of those keys that have one."""
        with self._database.reading() as connection:
            rows = [row for chunk in _chunks(keys) for row in _select(connection, chunk)]
        return {row[0]: self._from_row(row) for row in rows}

    async def record(self, step: StepRecord, fence: Fence | None = None) -> StepRecord:
        """Records a step and returns, once it is on disk, the record that stands under its key.

        Raises:
            LeaseLost: the fence's lease was taken over.
        """
        await self._database.ready()
        reach(f"{step.kind}.before")
        # From here on the record is made, even where the caller is cancelled: it may be of a reply that was paid for.
        stored = await settled(self.record_nowait(step, fence))
        reach(f"{step.kind}.written")
        return stored

    def record_nowait(self, step: StepRecord, fence: Fence | None = None) -> Future[StepRecord]:
        """Like `record`, for callers that wait later, or in a thread."""
        body = pack(step.body)
        if len(body) > LARGE:
            return self._database.in_pool(self._record_large, step, body, fence)
        return self._database.write(self._op(step, body, None), fence=fence)

    def usage(self, run: str, question: int | None = None) -> list[UsageRow]:
        """What a run, or one question of it, has used: one row a role and model."""
        return self._usage(_RUN_USAGE, run, question)

    def call_usage(self, call: str) -> list[UsageRow]:
        """What the children used that answer a call, theirs included: one of each fork that makes the call, which pay
        for nothing twice. It is in the usage of their runs, too."""
        return self._usage(_CALL_USAGE, call)

    def turn_usage(self, run: str, number: int) -> list[UsageRow]:
        """What one turn of a run has used; nothing where a fork took all of it from the record."""
        return self._usage(_TURN_USAGE, run, number)

    def replies(self, run: str, after: int) -> list[StepRecord]:
        """The run's own root replies to turns with a number above `after`, in the order they were recorded."""
        own = "run = ? AND turn > ? AND kind = 'root' AND child = ''"
        query = f"SELECT {_PLAIN}, body, body_ref FROM steps WHERE {own} ORDER BY at"
        with self._database.reading() as connection:
            rows = connection.execute(query, (run, after)).fetchall()
        return [self._from_row(row) for row in rows]

    def reached(self, run: str, kind: StepKind) -> Iterator[StepRecord]:
        """The steps of one kind that a run can reach, its origins' up to where it left them, as they were recorded."""
        with self._database.reading() as connection:
            for row in connection.execute(_OF_KIND, (run, kind)):
                yield self._from_row(row)

    def of_call(self, call: str, kind: StepKind) -> list[StepRecord]:
        """The steps of one kind that the children took that answer a call, in the order they were recorded."""
        children = "child IN (SELECT id FROM runs WHERE call = ?) AND child != ''"
        query = f"SELECT {_PLAIN}, body, body_ref FROM steps WHERE {children} AND kind = ? ORDER BY at"
        with self._database.reading() as connection:
            rows = connection.execute(query, (call, kind)).fetchall()
        return [self._from_row(row) for row in rows]

    def count(self, run: str, kind: StepKind | None = None, question: int | None = None) -> int:
        """How many steps a run has, or one question of it, of one kind or of all."""
        with self._database.reading() as connection:
            number: int = connection.execute(_COUNT, (run, kind, question)).fetchone()[0]
        return number

    def _usage(self, query: str, *values: object) -> list[UsageRow]:
        with self._database.reading() as connection:
            return [UsageRow(*row) for row in connection.execute(query, values)]

    def _record_large(self, step: StepRecord, body: bytes, fence: Fence | None) -> StepRecord:
        reference = self._blobs.put_sync(body)
        return self._database.write(self._op(step, body, reference), fence=fence).result()

    def _op(self, step: StepRecord, body: bytes, reference: str | None) -> Op[StepRecord]:
        row = (*_plain(step), None if reference else body, reference)

        def op(connection: Connection) -> StepRecord:
            if connection.execute(_INSERT, row).rowcount:
                return step
            return self._from_row(_select(connection, [step.key])[0])

        return op

    def _from_row(self, row: tuple[Any, ...]) -> StepRecord:
        *plain, body, reference = row
        values = dict(zip(_COLUMNS, plain, strict=True))
        check_version(values["version"], f"Step {values['key']} of run {values['run']}")
        return StepRecord(**values, body=unpack(self._blobs.get(reference) if reference else body))


def _plain(step: StepRecord) -> tuple[object, ...]:
    return tuple(getattr(step, name) for name in _COLUMNS)


def _select(connection: Connection, keys: list[str]) -> list[tuple[Any, ...]]:
    places = ", ".join("?" * len(keys))
    return connection.execute(f"SELECT {_PLAIN}, body, body_ref FROM steps WHERE key IN ({places})", keys).fetchall()


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
