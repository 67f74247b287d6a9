"""The home's SQLite file in this process: connections, a small pool for reads, and group commit for writes.

Invariant: connections and threads belong to one process; a forked child starts with none and opens its own.
Opening is lazy and repeatable. Rows and their meaning belong to the modules that use this one.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from rlm_agent import environment
from rlm_agent.store.failures import explained
from rlm_agent.store.fence import Fence
from rlm_agent.store.layout import prepare
from rlm_agent.store.schema import migrate
from rlm_agent.store.writer import Op, Writer, WriterClosed

__all__ = ["Database", "connect", "settled"]

T = TypeVar("T")
P = ParamSpec("P")
_READ_THREADS = 4
_BUSY_SECONDS = 30.0


def connect(file: Path) -> sqlite3.Connection:
    """A connection in autocommit mode to a file that only this user can read, in WAL mode with full fsync."""
    with suppress(FileExistsError):  # an existing one is not opened: closing it would drop SQLite's locks on it
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _set_up(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    """WAL and full fsync.

    SQLite does not wait for the lock of every step here: another process may be making the file, or recovering it after
    a kill.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            for setting in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
                connection.execute(f"PRAGMA {setting}")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


async def settled(future: Future[T]) -> T:
    """Awaits a thread's future without owning it: when the awaiting task is cancelled, the work goes on."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def tell(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(tell)
    await done
    return future.result()


@dataclass(slots=True)
class _Opened:
    """What one process holds of an open database."""

    id: str
    writer: Writer
    pool: ThreadPoolExecutor
    idle: deque[sqlite3.Connection] = field(default_factory=deque)
    closed: bool = False

    def borrow(self, file: Path) -> sqlite3.Connection:
        try:
            return self.idle.pop()
        except IndexError:
            return connect(file)

    def give_back(self, connection: sqlite3.Connection) -> None:
        connection.rollback()
        self.idle.append(connection)
        if self.closed:
            self.close_idle()

    def close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self.idle.pop().close()


class Database:
    """The SQLite file of one home directory. No I/O until first use."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._given = None if path is None else Path(os.path.abspath(Path(path).expanduser()))
        self._opened: _Opened | None = None
        self._abandoned: list[_Opened] = []
        self._lock = threading.RLock()

    @property
    def path(self) -> Path:
        """The home's directory."""
        if self._given is None:
            self._given = environment.rlm_home().absolute()
        return self._given

    @property
    def file(self) -> Path:
        return self.path / "home.db"

    @property
    def tmp(self) -> Path:
        """Where files are drafted, on the file system that they are renamed within."""
        return self.path / "tmp"

    @property
    def id(self) -> str:
        """The home's id; opens it."""
        return self._here().id

    @property
    def commits(self) -> int:
        """Transactions committed since it was opened."""
        return self._here().writer.commits

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    def open(self) -> None:
        """Opens it now rather than at first use. Harmless twice."""
        self._here()

    def close(self) -> None:
        """Finishes all reads and writes that were asked for. Harmless twice; the next use opens it again."""
        with self._lock:
            opened = self._opened
            if opened is None:
                return
            opened.pool.shutdown(wait=True)
            self._opened = None
            opened.writer.close()
            opened.closed = True
            opened.close_idle()

    def forget(self) -> None:
        """Drops the parent's connections and threads, in a forked child. SQLite forbids even closing them here."""
        self._lock = threading.RLock()
        if self._opened is not None:
            self._abandoned.append(self._opened)
            self._opened = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reads, at one consistent state of the file."""
        opened = self._here()
        with explained(self.file):
            connection = opened.borrow(self.file)
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                opened.give_back(connection)

    def in_pool(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs a blocking function in the home's pool."""
        return self._here().pool.submit(fn, *args, **kwargs)

    def write(self, op: Op[T], *, fence: Fence | None = None) -> Future[T]:
        """Queues an operation for the next commit; the future resolves when that is on disk."""
        while True:
            try:
                return self._here().writer.submit(op, fence)
            except WriterClosed:
                continue  # another thread is closing it: open it again

    async def read(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a blocking read without holding up the event loop."""
        await self.ready()
        return await settled(self.in_pool(fn, *args, **kwargs))

    async def commit(self, op: Op[T], *, fence: Fence | None = None) -> T:
        """Like `write`, awaited. The write is done even when the awaiting task is cancelled."""
        await self.ready()
        return await settled(self.write(op, fence=fence))

    async def ready(self) -> None:
        """Opens it without holding up the event loop."""
        if self._opened is None:
            await asyncio.to_thread(self.open)

    def _here(self) -> _Opened:
        opened = self._opened
        if opened is not None:
            return opened
        with self._lock:
            if self._opened is None:
                self._opened = self._start()
            return self._opened

    def _start(self) -> _Opened:
        identity = prepare(self.path)
        with explained(self.file):
            connection = connect(self.file)
            try:
                migrate(connection, self.file)
            except BaseException:
                connection.close()
                raise
        pool = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="rlm-home")
        return _Opened(identity, Writer(connection, self.file), pool)
