"""The durable home: one directory that owns runs and forks, turns, ledger, blobs, leases, notes and corpora.

Invariant: making a Home does no I/O; it opens at first use, and again after `close` or in a forked child. One process
should have one Home a directory, so that all writes share one commit: `default_home` sees to that.
Many processes may share a home on one machine; network file systems are not supported, SQLite's WAL forbids them.
"""

import atexit
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from rlm_agent import environment
from rlm_agent.errors import HomeError
from rlm_agent.store.blobs import Blobs
from rlm_agent.store.corpora import Corpora
from rlm_agent.store.database import Database
from rlm_agent.store.extensions import Extensions
from rlm_agent.store.fence import Fence
from rlm_agent.store.forks import Forks
from rlm_agent.store.leases import Leases
from rlm_agent.store.ledger import Ledger
from rlm_agent.store.notes import Notes
from rlm_agent.store.runs import Runs
from rlm_agent.store.signatures import Signatures
from rlm_agent.store.sweep import Sweeper
from rlm_agent.store.turns import Turns

if TYPE_CHECKING:
    from rlm_agent.checkpointer import HomeCheckpointer

__all__ = ["Home", "as_home", "default_home"]

T = TypeVar("T")
P = ParamSpec("P")


class Home:
    """A durable home.

    Args:
        path: its directory; None: `$RLM_HOME`, else the platform's user data directory.

    Attributes:
        runs, forks, turns, signatures, ledger, blobs, leases, notes, extensions, corpora, sweeper: its parts. Their
            plain methods block: call them from coroutines as `await home.read(home.runs.get, id)`.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._database = Database(path)
        self.runs = Runs(self._database)
        self.signatures = Signatures(self._database)
        self.turns = Turns(self._database, self.signatures)
        self.blobs = Blobs(self._database)
        self.ledger = Ledger(self._database, self.blobs)
        self.leases = Leases(self._database)
        self.notes = Notes(self._database)
        self.forks = Forks(self._database, self.runs)
        self.extensions = Extensions(self._database)
        self.corpora = Corpora(self._database, _open_corpora)
        self.sweeper = Sweeper(self._database, self.blobs)
        self._checkpointer: HomeCheckpointer | None = None
        self._lock = threading.Lock()
        _register(self)

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """Its directory."""
        return self._database.path

    @property
    def id(self) -> str:
        """32 hexadecimal digits, made when the home was; opens it."""
        return self._database.id

    @property
    def is_open(self) -> bool:
        return self._database.is_open

    @property
    def commits(self) -> int:
        """How many transactions this process committed since it opened the home."""
        return self._database.commits

    @property
    def checkpointer(self) -> "HomeCheckpointer":
        """A LangGraph checkpoint saver beside the home's own data, for sync and async entry alike."""
        with self._lock:
            if self._checkpointer is None:
                from rlm_agent.checkpointer import HomeCheckpointer

                self._database.open()
                self._checkpointer = HomeCheckpointer(self.path / "checkpoints.db")
            return self._checkpointer

    def open(self) -> Self:
        """Opens it now rather than at first use. Harmless twice.

        Raises:
            HomeError: it cannot be made, read or written; the message says what to do.
            StateVersionError: a newer version of this package wrote it.
        """
        self._database.open()
        return self

    def close(self) -> None:
        """Commits what is queued and gives leases back. Harmless twice; the next use opens it again."""
        if self._database.is_open:
            self.leases.close()
            self._database.close()
        if self._checkpointer is not None:
            self._checkpointer.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection for reads, at one consistent state of the home. Blocks."""
        return self._database.reading()

    async def read(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a blocking read in the home's own threads."""
        return await self._database.read(fn, *args, **kwargs)

    def write(self, op: Callable[[sqlite3.Connection], T], *, fence: Fence | None = None) -> "Future[T]":
        """Queues an operation for the next commit.

        Args:
            op: runs in the writer's thread, in a savepoint: it fails alone. It must not commit or roll back.
            fence: refuses the operation with LeaseLost once another owner has the run.

        Returns:
            A future that resolves when the commit is on disk.
        """
        return self._database.write(op, fence=fence)

    async def commit(self, op: Callable[[sqlite3.Connection], T], *, fence: Fence | None = None) -> T:
        """Like `write`, awaited. The write is done even when the awaiting task is cancelled."""
        return await self._database.commit(op, fence=fence)

    def forget(self) -> None:
        """Drops the parent's connections, threads and leases; called in a forked child."""
        self._lock = threading.Lock()
        self._database.forget()
        self.leases.forget()


def default_home(path: str | os.PathLike[str] | None = None) -> Home:
    """The process's one Home of a directory; None as in `Home`."""
    given = environment.rlm_home() if path is None else Path(path).expanduser()
    key = os.path.realpath(given)
    if key not in _DEFAULTS:
        _DEFAULTS.setdefault(key, Home(key))
    return _DEFAULTS[key]


def as_home(home: Home | str | os.PathLike[str] | None) -> Home:
    """What a caller gave for `home`, as a Home."""
    return home if isinstance(home, Home) else default_home(home)


_HOMES: "dict[int, weakref.ref[Home]]" = {}
_DEFAULTS: dict[str, Home] = {}


def _register(home: Home) -> None:
    key = id(home)
    _HOMES[key] = weakref.ref(home, lambda _: _HOMES.pop(key, None))
    _watch_process()


def _all_homes() -> list[Home]:
    return [home for reference in list(_HOMES.values()) if (home := reference()) is not None]


def _open_corpora() -> Iterator[Corpora]:
    return (home.corpora for home in _all_homes() if home.is_open)


def _forget_all() -> None:
    for home in _all_homes():
        home.forget()


def _close_all() -> None:
    for home in _all_homes():
        with suppress(HomeError):  # nobody is left to hear of it, and the others are to be closed too
            home.close()


@cache
def _watch_process() -> None:
    os.register_at_fork(after_in_child=_forget_all)
    atexit.register(_close_all)
