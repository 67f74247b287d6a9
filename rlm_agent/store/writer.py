"""Group commit: one thread, one connection, one fsync for everything that was waiting.

Invariant: a future is resolved only after the commit that covers its operation is on disk; an operation that raises
is rolled back alone. What the operations do is not the writer's business.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rlm_agent.crash_points import reach
from rlm_agent.errors import HomeError
from rlm_agent.store.failures import explain
from rlm_agent.store.fence import Fence, check_fence

__all__ = ["Op", "Writer", "WriterClosed"]

T = TypeVar("T")
Op = Callable[[sqlite3.Connection], T]


class WriterClosed(HomeError):
    """The writer ended before it could take the operation; nothing was written."""


@dataclass(frozen=True, slots=True)
class _Job:
    op: Op[Any]
    fence: Fence | None
    future: Future[Any] = field(default_factory=Future)


class Writer:
    """The thread that commits. `commits` counts transactions."""

    def __init__(self, connection: sqlite3.Connection, file: Path) -> None:
        self.commits = 0
        self._connection = connection
        self._file = file
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = self._ended = False
        self._thread = threading.Thread(target=self._work, name="rlm-home-writer", daemon=True)
        self._thread.start()

    def submit(self, op: Op[T], fence: Fence | None) -> Future[T]:
        """Queues an operation; never blocks."""
        if self._closed:
            raise WriterClosed(f"The home's file {self._file} is closed.")
        job = _Job(op, fence)
        self._queue.put(job)
        if self._ended:  # it ended between the check and the put
            self._refuse_rest()
        return job.future

    def close(self) -> None:
        """Commits what is queued and ends the thread."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._ended = True
        self._refuse_rest()

    def _refuse_rest(self) -> None:
        jobs, _ = self._drain(None)
        for job in jobs:
            job.future.set_exception(WriterClosed(f"The home's file {self._file} was closed meanwhile."))

    def _work(self) -> None:
        more = True
        while more:
            jobs, more = self._drain(self._queue.get())
            waited_for = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if waited_for:
                self._commit(waited_for)
        self._connection.close()

    def _drain(self, first: _Job | None) -> tuple[list[_Job], bool]:
        taken = [first]
        while True:
            try:
                taken.append(self._queue.get_nowait())
            except queue.Empty:
                return [job for job in taken if job is not None], None not in taken

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            outcomes = self._transact(jobs)
        except BaseException as error:  # noqa: BLE001  whatever it was, every waiter must hear of it
            self._connection.rollback()
            outcomes = [partial(job.future.set_exception, explain(self._file, error)) for job in jobs]
        for tell in outcomes:
            tell()

    def _transact(self, jobs: list[_Job]) -> list[Callable[[], None]]:
        self._connection.execute("BEGIN IMMEDIATE")
        outcomes = [self._run(job) for job in jobs]
        reach("commit.before")
        self._connection.execute("COMMIT")
        reach("commit.after")
        self.commits += 1
        return outcomes

    def _run(self, job: _Job) -> Callable[[], None]:
        execute = self._connection.execute
        execute("SAVEPOINT op")
        try:
            if job.fence is not None:
                check_fence(self._connection, job.fence)
            value = job.op(self._connection)
        except BaseException as error:  # the operation's own failure is its own future's
            if not self._connection.in_transaction:  # SQLite gave the whole transaction up
                raise
            execute("ROLLBACK TO op")
            execute("RELEASE op")
            return partial(job.future.set_exception, explain(self._file, error))
        execute("RELEASE op")
        return partial(job.future.set_result, value)
