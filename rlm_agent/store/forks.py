"""Forks: a new run, on a thread of its own, that stands at a turn of another one.

Invariant: turns and blobs are shared, never copied or changed; the fork retains the turn that it stands at. All of it
is written in one transaction: a fork is there whole or not at all.
"""

import time
from dataclasses import dataclass
from sqlite3 import Connection

from rlm_agent.errors import ConfigError
from rlm_agent.store.database import Database
from rlm_agent.store.notes import insert_note
from rlm_agent.store.records import QuestionRecord, RunRecord
from rlm_agent.store.runs import Runs

__all__ = ["Fork", "Forks"]

_EARLIER = """
    INSERT INTO questions
    SELECT ?, number, NULL, status, stopped_by, active_seconds, created, version, body, result
    FROM questions WHERE run = ? AND number < ?"""
_EXTENSIONS = (
    "INSERT INTO extensions SELECT ?, question, bound, amount, at FROM extensions WHERE run = ? AND question <= ?"
)


@dataclass(frozen=True, slots=True)
class Fork:
    """A run to be: its record, the question that goes on in it, the turn it stands at, a note for its next turn."""

    run: RunRecord
    question: QuestionRecord
    head: str
    note: str | None = None


class Forks:
    """Makes forks in one home."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    async def create(self, fork: Fork) -> None:
        """Records a fork.

        Raises:
            ConfigError: its thread has a run already, or its origin was removed meanwhile.
        """
        run, question = fork.run, fork.question
        create = self._runs.create_op(run, question)

        def op(connection: Connection) -> None:
            _refuse_taken(connection, run)
            _refuse_removed(connection, run)
            create(connection)
            connection.execute(_EARLIER, (run.id, run.forked_from, question.number))
            connection.execute(_EXTENSIONS, (run.id, run.forked_from, question.number))
            connection.execute("UPDATE runs SET head = ? WHERE id = ?", (fork.head, run.id))
            retained = (run.id, run.path, fork.head, time.time())
            connection.execute("INSERT INTO refs (run, path, turn, at) VALUES (?, ?, ?, ?)", retained)
            if fork.note is not None:
                insert_note(connection, run.id, fork.note)

        await self._database.commit(op)


def _refuse_removed(connection: Connection, run: RunRecord) -> None:
    if not connection.execute("SELECT 1 FROM runs WHERE id = ? AND NOT removed", (run.forked_from,)).fetchone():
        raise ConfigError(f"The run {run.forked_from} was removed: it cannot be forked any more.")


def _refuse_taken(connection: Connection, run: RunRecord) -> None:
    if connection.execute("SELECT 1 FROM runs WHERE thread = ?", (run.thread,)).fetchone():
        raise ConfigError(
            f"Thread {run.thread!r} has a run already; a fork begins on a thread of its own: give another id, "
            "or none for a new one."
        )
