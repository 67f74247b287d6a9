"""Runs and their questions.

Invariant: a run and what was asked are never changed once written; of a question its status, result and time are. A run
stands at one question and one turn, its head: the newest, until the run is entered at an older turn.
The `*_op` functions are for callers that write several things in one transaction.
"""

import time
from sqlite3 import Connection
from typing import Any

from rlm_agent import crash_points
from rlm_agent.errors import HomeError
from rlm_agent.store.database import Database
from rlm_agent.store.fence import Fence
from rlm_agent.store.plain import pack, unpack
from rlm_agent.store.reach import reach
from rlm_agent.store.records import QuestionRecord, QuestionStatus, RunRecord
from rlm_agent.store.versions import check_version
from rlm_agent.store.writer import Op

__all__ = ["Runs"]

_RUN = (
    "r.id, r.thread, r.path, r.name, r.created, r.salt, r.forked_from, r.forked_at, r.version, r.removed, r.parent, "
    "r.call"
)
_QUESTION = (
    "q.run, q.number, q.find_key, q.status, q.stopped_by, q.active_seconds, q.created, q.version, q.body, q.result"
)
_BODY = ("digest", "message", "earlier", "context", "context_digest", "first_turn", "genesis", "parent")
_BOTH = f"SELECT {_RUN}, {_QUESTION} FROM runs r JOIN questions q ON q.run = r.id"
_RUN_COLUMNS = 12

_RunList = list[RunRecord]  # `list` is a method below
_StrList = list[str]


class Runs:
    """The runs of one home and what was asked of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, thread: str | None, path: str, name: str) -> tuple[RunRecord, QuestionRecord] | None:
        """The newest run of a thread under an agent path and name, with the question that it stands at.

        None without a thread.
        """
        return self._pair(
            "WHERE r.thread = ? AND r.path = ? AND r.name = ? "
            "ORDER BY r.created DESC, r.rowid DESC, q.number = r.question DESC, q.number DESC",
            thread,
            path,
            name,
        )

    def by_find_key(self, key: str) -> tuple[RunRecord, QuestionRecord] | None:
        """The newest question with this find key, and its run."""
        return self._pair("WHERE q.find_key = ? ORDER BY q.created DESC, q.rowid DESC", key)

    def child(self, parent: str, call: str) -> tuple[RunRecord, QuestionRecord] | None:
        """The run that answers a call of another run, by the call's ledger key."""
        return self._pair("WHERE r.parent = ? AND r.call = ?", parent, call)

    def children(self, parent: str) -> _RunList:
        """The runs that answer calls of a run, the oldest first; not those below them."""
        return self._runs("WHERE r.parent = ? ORDER BY r.created, r.rowid", parent)

    def get(self, run_id: str) -> RunRecord:
        """A run by its id.

        Raises:
            HomeError: there is none.
        """
        found = self._runs("WHERE r.id = ?", run_id)
        if not found:
            raise HomeError(f"No run {run_id!r} in the home {self._database.path}: `rlm threads` lists what is there.")
        return found[0]

    def question(self, run_id: str, number: int | None = None) -> QuestionRecord:
        """A question of a run; None: the one that it stands at.

        Raises:
            HomeError: there is none.
        """
        order = "ORDER BY q.number = r.question DESC, q.number DESC"
        found = self._pair(f"WHERE r.id = ? AND q.number = IFNULL(?, q.number) {order}", run_id, number)
        if found is None:
            which = "no question" if number is None else f"no question {number}"
            raise HomeError(f"Run {run_id!r} has {which} in the home {self._database.path}.")
        return found[1]

    def descent(self, run_id: str) -> _StrList:
        """The ids of a run and of those that it was forked from, the nearest one first."""
        with self._database.reading() as connection:
            return reach(connection, run_id)

    def questions(self, run_id: str) -> list[QuestionRecord]:
        """All questions of a run, the first one first."""
        query = f"SELECT {_QUESTION} FROM questions q WHERE q.run = ? ORDER BY q.number"
        with self._database.reading() as connection:
            rows = connection.execute(query, (run_id,)).fetchall()
        return [_question_from(row) for row in rows]

    def list(self, thread: str | None = None) -> _RunList:
        """All runs, or those of one thread, the oldest first."""
        order = "ORDER BY r.created, r.rowid"
        if thread is None:
            return self._runs(f"WHERE NOT r.removed {order}")
        return self._runs(f"WHERE r.thread = ? {order}", thread)

    def last(self) -> RunRecord | None:
        """The run, of those that a person asked, in which something happened most recently."""
        found = self._runs("WHERE NOT r.removed AND r.parent IS NULL ORDER BY r.active DESC, r.rowid DESC LIMIT 1")
        return found[0] if found else None

    async def create(self, run: RunRecord, question: QuestionRecord, fence: Fence | None = None) -> None:
        """Records a new run with its first question."""
        await self._ask(self.create_op(run, question), fence)

    async def add_question(self, question: QuestionRecord, fence: Fence | None = None) -> None:
        """Records a further question of a run."""
        await self._ask(self.add_question_op(question), fence)

    async def _ask(self, op: Op[None], fence: Fence | None) -> None:
        crash_points.reach("question.before")
        await self._database.commit(op, fence=fence)
        crash_points.reach("question.written")

    async def stand(self, run: str, question: int | None, head: str | None, fence: Fence | None = None) -> None:
        """Makes a run stand at an older turn of its own, and at a question; None leaves the question as it is."""

        def op(connection: Connection) -> None:
            query = "UPDATE runs SET head = ?, question = IFNULL(?, question) WHERE id = ?"
            connection.execute(query, (head, question, run))
            touch(connection, run)

        await self._database.commit(op, fence=fence)

    async def set_question(
        self,
        run: str,
        number: int,
        fence: Fence | None = None,
        *,
        status: QuestionStatus | None = None,
        stopped_by: str | None = None,
        result: dict[str, Any] | None = None,
        active_seconds: float | None = None,
    ) -> None:
        """Changes what of a question may change, see `question_op`."""
        op = self.question_op(
            run, number, status=status, stopped_by=stopped_by, result=result, active_seconds=active_seconds
        )
        await self._database.commit(op, fence=fence)

    def create_op(self, run: RunRecord, question: QuestionRecord) -> Op[None]:
        """Inserts a run and its first question."""
        add_question = self.add_question_op(question)
        plain = (run.id, run.thread, run.path, run.name, run.created, run.salt, run.forked_from, run.forked_at)
        row = (*plain, run.version, time.time(), run.parent, run.call)

        def op(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO runs (id, thread, path, name, created, salt, forked_from, forked_at, version, active, "
                "parent, call) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            add_question(connection)

        return op

    def add_question_op(self, question: QuestionRecord) -> Op[None]:
        """Inserts a question; the run stands at it."""
        row = _question_row(question)

        def op(connection: Connection) -> None:
            connection.execute(f"INSERT INTO questions VALUES ({', '.join('?' * len(row))})", row)
            connection.execute("UPDATE runs SET question = ? WHERE id = ?", (question.number, question.run))
            touch(connection, question.run)

        return op

    def question_op(
        self,
        run: str,
        number: int,
        *,
        status: QuestionStatus | None = None,
        stopped_by: str | None = None,
        result: dict[str, Any] | None = None,
        active_seconds: float | None = None,
    ) -> Op[None]:
        """Changes a question. None leaves a value as it is, but status "open" clears `stopped_by` and `result`."""
        changes: dict[str, object] = {}
        if status is not None:
            changes["status"] = status
        if stopped_by is not None or status == "open":
            changes["stopped_by"] = stopped_by
        if result is not None or status == "open":
            changes["result"] = None if result is None else pack(result)
        if active_seconds is not None:
            changes["active_seconds"] = active_seconds

        def op(connection: Connection) -> None:
            if changes:
                assignments = ", ".join(f"{column} = ?" for column in changes)
                values = (*changes.values(), run, number)
                connection.execute(f"UPDATE questions SET {assignments} WHERE run = ? AND number = ?", values)
            touch(connection, run)

        return op

    def _pair(self, where: str, *values: object) -> tuple[RunRecord, QuestionRecord] | None:
        with self._database.reading() as connection:
            row = connection.execute(f"{_BOTH} {where} LIMIT 1", values).fetchone()
        if row is None:
            return None
        return _run_from(row[:_RUN_COLUMNS]), _question_from(row[_RUN_COLUMNS:])

    def _runs(self, where: str, *values: object) -> _RunList:
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {_RUN} FROM runs r {where}", values).fetchall()
        return [_run_from(row) for row in rows]


def touch(connection: Connection, run: str) -> None:
    """Notes that something happened in a run."""
    connection.execute("UPDATE runs SET active = ? WHERE id = ?", (time.time(), run))


def _run_from(row: tuple[Any, ...]) -> RunRecord:
    run = RunRecord(*row)
    check_version(run.version, f"Run {run.id}")
    return run


def _question_row(question: QuestionRecord) -> tuple[object, ...]:
    return (
        question.run,
        question.number,
        question.find_key,
        question.status,
        question.stopped_by,
        question.active_seconds,
        question.created,
        question.version,
        pack({name: getattr(question, name) for name in _BODY}),
        None if question.result is None else pack(question.result),
    )


def _question_from(row: tuple[Any, ...]) -> QuestionRecord:
    run, number, find_key, status, stopped_by, active_seconds, created, version, body, result = row
    check_version(version, f"Question {number} of run {run}")
    return QuestionRecord(
        run=run,
        number=number,
        find_key=find_key,
        status=status,
        stopped_by=stopped_by,
        result=None if result is None else unpack(result),
        active_seconds=active_seconds,
        created=created,
        version=version,
        **unpack(body),
    )
