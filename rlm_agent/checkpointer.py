"""The home's LangGraph checkpoint saver: the one module where the home and LangGraph meet.

Invariant: sync and async entry see one file through one connection; nothing depends on an event loop. A forked child
opens its own connection.
"""

import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver

from rlm_agent.crash_points import reach
from rlm_agent.store.database import connect, settled
from rlm_agent.store.failures import explained

__all__ = ["HomeCheckpointer"]

T = TypeVar("T")
P = ParamSpec("P")


class _Link:
    """What one process holds of the file; shared by the copies that LangGraph makes of a saver."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._abandoned: list[object] = []
        self.lock = threading.Lock()

    def connection(self) -> sqlite3.Connection:
        """The process's connection. Called with the lock held."""
        if self._connection is None:
            with explained(self.path):
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._connection = connect(self.path)
        return self._connection

    def pool(self) -> ThreadPoolExecutor:
        """The thread in which async methods run the sync ones: the saver's lock lets one in at a time anyway."""
        self.forget_parent()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="rlm-checkpoint")
        return self._pool

    def forget_parent(self) -> None:
        """Drops what a parent process opened: SQLite forbids even closing it here."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._abandoned += [self._connection, self._pool]
            self._connection, self._pool, self.lock = None, None, threading.Lock()

    def close(self) -> None:
        self.forget_parent()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()


class HomeCheckpointer(SqliteSaver):
    """A SqliteSaver on a file of its own that may be entered from any thread and any event loop.

    Args:
        path: the file, made where there is none.
        serde: how values are serialised; LangGraph's own by default.
    """

    def __init__(self, path: str | os.PathLike[str], *, serde: SerializerProtocol | None = None) -> None:
        self._link = _Link(Path(os.path.abspath(path)))
        with self._link.lock:
            super().__init__(self._link.connection(), serde=serde)

    def close(self) -> None:
        """Finishes what async callers asked for and closes the file. The next use opens it again."""
        self._link.close()

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """A cursor, as SqliteSaver's own methods use it, on this process's connection."""
        self._link.forget_parent()
        with self._link.lock, explained(self._link.path):
            connection = self._link.connection()
            if connection is not self.conn:
                self.conn, self.is_setup = connection, False
            self.setup()
            cursor = connection.cursor()
            try:
                if transaction:
                    cursor.execute("BEGIN IMMEDIATE")
                yield cursor
            except BaseException:
                connection.rollback()
                raise
            finally:
                connection.commit()
                cursor.close()

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `SqliteSaver.put`."""
        reach("checkpoint.before")
        stored = super().put(config, checkpoint, metadata, new_versions)
        reach("checkpoint.written")
        return stored

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._run(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        def collect() -> list[CheckpointTuple]:
            return list(self.list(config, filter=filter, before=before, limit=limit))

        for item in await self._run(collect):
            yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._run(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._run(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._run(self.delete_thread, thread_id)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await self._run(self.get_delta_channel_history, config=config, channels=channels)

    async def _run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await settled(self._link.pool().submit(fn, *args, **kwargs))
