"""ProcessKernel: cells run in a process of their own, forked from the zygote, under the layers of the sandbox.

A session counts the cell's time only while it waits for the worker, and no coroutine here blocks the loop. Invariant: a
closed or dead session leaves no process, descriptor or file behind. Messages are checked by `protocol.py`.
"""

import asyncio
import os
import signal
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from rlm_agent.environment import allow_unsandboxed
from rlm_agent.errors import KernelError, RLMError
from rlm_agent.repl.channel import EVENT_LIMIT, AsyncChannel
from rlm_agent.repl.disk import remove_tree
from rlm_agent.repl.isolation import NAMES, OFF, Findings, Isolation, decide, findings
from rlm_agent.repl.kernel import (
    MOST_READINGS,
    Bindings,
    CellDone,
    CellEvent,
    CellPaused,
    ContextSource,
    Request,
    Session,
    Snapshot,
    SnapshotSource,
)
from rlm_agent.repl.known import KnownLeaves, most_bytes
from rlm_agent.repl.protocol import Asked, Saved, parse_event, parse_saving, parse_starting
from rlm_agent.repl.spawner import Spawner, shared_spawner
from rlm_agent.repl.watch import Watched, shared_watch
from rlm_agent.settings import Limits

__all__ = ["ProcessKernel", "ProcessSession"]

# Seconds after an interrupt until the next one, and from that one to SIGKILL.
SECOND_INTERRUPT = 2.0
KILL = 5.0
# Binding and saving have no limit of the user's; a worker that takes this long hangs.
CARE_SECONDS = 600.0
# Requests of other threads are waited for as long as they keep coming, each within QUIET, all within GATHER.
QUIET = 0.01
GATHER = 0.1

T = TypeVar("T")

RESTORED = "the namespace of before this cell is restored"


class ProcessKernel:
    """The default kernel.

    Args:
        limits: `cell_seconds` holds for each cell, `memory_mb` and `disk_mb` for a session, `sandbox` for all of them.
        layers: those of the sandbox that may be used; None: all.
    """

    def __init__(self, limits: Limits | None = None, *, layers: Collection[str] | None = None) -> None:
        self._limits = limits or Limits()
        self._layers = NAMES if layers is None else tuple(layers)

    @property
    def isolation(self) -> str:
        """What confines a cell here. Blocks: the first look forks a probe.

        Raises:
            SandboxUnavailable: less is to be had than `Limits.sandbox` asks for.
            KernelError: no probe could be forked.
        """
        return self._isolation().text

    def findings(self) -> Findings:
        """What a probe found of the layers. Blocks at first, as `isolation`."""
        return findings(self._spawner(), self._layers)

    def _spawner(self) -> Spawner:
        return shared_spawner()

    def _isolation(self) -> Isolation:
        if self._limits.sandbox == "off":
            return OFF
        return decide(self._limits.sandbox, self.findings(), unsandboxed=allow_unsandboxed())

    async def session(self) -> Session:
        """Forks a worker.

        Raises:
            SandboxUnavailable: less isolation is to be had than `Limits.sandbox` asks for.
            KernelError: no worker could be started.
        """
        isolation, spawner = await asyncio.to_thread(self._isolation), self._spawner()
        await asyncio.to_thread(spawner.start)
        scratch = await asyncio.to_thread(tempfile.mkdtemp, prefix="rlm-repl-", dir=spawner.scratches)
        mine, theirs = socket.socketpair()
        try:
            with theirs:
                pid = await asyncio.to_thread(spawner.fork, theirs, scratch, isolation.plan(self._limits))
        except BaseException:
            mine.close()
            remove_tree(scratch)
            raise
        watched = Watched(spawner, pid, scratch, self._limits)
        if "limits" in isolation.layers:
            shared_watch().add(watched)
        return ProcessSession(spawner, watched, AsyncChannel(mine), self._limits)


class ProcessSession:
    """One worker; see `Session` for the methods."""

    def __init__(self, spawner: Spawner, watched: Watched, channel: AsyncChannel, limits: Limits) -> None:
        self.pid = watched.pid
        self._spawner = spawner
        self._watched = watched
        self._channel = channel
        self._scratch = watched.scratch
        self._cell_seconds = limits.cell_seconds
        self._disk_bytes = limits.disk_mb << 20
        self._most_bytes = most_bytes(limits)
        self._leaves = KnownLeaves(None, self._most_bytes)
        self._used = 0.0
        self._stopped = False
        self._end: CellDone | None = None
        self._receiving: asyncio.Task[Any] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether the worker is there."""
        return self._end is None and self._closing is None and not self._channel.at_end()

    async def start(self, bindings: Bindings, snapshot: SnapshotSource | None) -> tuple[Mapping[str, Any], ...]:
        """See `Session.start`."""
        plain = _plain(bindings)
        try:
            self._leaves = KnownLeaves(snapshot, self._most_bytes)
        except KernelError:
            await self.close()
            raise
        manifest = snapshot.manifest if snapshot else None
        message = {"op": "start", "bindings": plain, "snapshot": manifest, "disk_bytes": self._disk_bytes}
        fds = [await asyncio.to_thread(_open, bindings.context)] if bindings.context else []
        try:
            return await self._call(message, self._started, fds)
        finally:
            for fd in fds:
                os.close(fd)

    async def _started(self) -> tuple[Mapping[str, Any], ...]:
        """Hands the worker the leaves it asks for, until it has started."""
        while True:
            asked = parse_starting(await self._channel.receive(EVENT_LIMIT))
            if isinstance(asked, tuple):
                return asked
            await self._channel.send({"op": "leaves", "leaves": await asyncio.to_thread(self._leaves.read, asked)})

    async def execute(
        self,
        code: str,
        *,
        history: Sequence[Mapping[str, Any]] = (),
        unready: bool = False,
        seed: str = "",
        readings: Sequence[int] = (),
    ) -> CellEvent:
        """See `Session.execute`."""
        self._used, self._stopped = 0.0, False
        entries = [dict(entry) for entry in history]
        message = {"op": "execute", "code": code, "history": entries, "unready": unready}
        return await self._go_on({**message, "seed": seed, "clock": list(readings)})

    async def answer(self, replies: Mapping[int, Any], readings: Sequence[int] = ()) -> CellEvent:
        """See `Session.answer`."""
        answered = [[number, reply] for number, reply in replies.items()]
        return await self._go_on({"op": "answer", "replies": answered, "clock": list(readings)})

    async def interrupt(self) -> None:
        """See `Session.interrupt`."""
        self._stopped = True
        await asyncio.to_thread(self._spawner.signal, self.pid, signal.SIGINT)

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        return await self._call({"op": "snapshot"}, self._saved)

    async def _saved(self) -> Snapshot:
        """Takes the leaves of a snapshot, until its root comes."""
        new: dict[str, bytes] = {}
        while True:
            part = parse_saving(await self._channel.receive(EVENT_LIMIT))
            if isinstance(part, Saved):
                self._leaves.settle(part.keys, new)
                return Snapshot(part.manifest, new, part.variables, part.lost, part.seconds)
            await asyncio.to_thread(self._leaves.add, part, new)

    async def close(self) -> None:
        """Ends the worker. Harmless twice, and finished even where the caller is cancelled."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._release())
        await asyncio.shield(self._closing)

    async def _release(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            await asyncio.gather(self._receiving, return_exceptions=True)
        self._channel.close()
        shared_watch().remove(self._watched)
        await asyncio.to_thread(self._spawner.reap, self.pid, kill=True)
        await asyncio.to_thread(remove_tree, self._scratch)

    # Between cells: one message, and a reply with leaves before it.

    async def _call(self, message: dict[str, Any], reply: Callable[[], Awaitable[T]], fds: Sequence[int] = ()) -> T:
        if self._end is not None or self._closing is not None:
            raise KernelError("The REPL worker is gone; start another session.")
        try:
            async with asyncio.timeout(CARE_SECONDS):
                await self._channel.send(message, fds)
                return await reply()
        except (OSError, EOFError) as error:
            why = f"took over {CARE_SECONDS:g} s" if isinstance(error, TimeoutError) else "died"
            done = await self._died()
            raise KernelError(f"The REPL worker {why} at {message['op']!r}: {done.error}") from error
        except RLMError as error:
            await self._finish(f"The worker was killed: {error}")
            raise

    # In a cell: events until it ends.

    async def _go_on(self, message: dict[str, Any]) -> CellEvent:
        if self._end is not None:
            return self._end
        if self._closing is not None:
            return CellDone("", f"The session is closed; {RESTORED}.", "died")
        try:
            self._watched.busy = True
            await self._channel.send(message)
            return await self._event()
        except (OSError, EOFError):
            return await self._died()
        except KernelError as error:
            return await self._finish(f"The worker was killed: {error}")

    async def _event(self) -> CellEvent:
        began = time.monotonic()
        try:
            if not await self._within_limit():
                return await self._killed()
            event = parse_event(await self._received())
            if isinstance(event, Asked):
                return await self._gather(event)
        finally:
            self._used += time.monotonic() - began
        return self._done(event)

    def _done(self, done: CellDone) -> CellDone:
        self._watched.busy = False
        error = done.error
        if done.error_kind == "interrupted":
            when = "by an interrupt" if self._stopped else f"after {self._cell_seconds:g} s of running"
            error = f"{error}: stopped {when}; the variables are kept."
        return replace(done, error=error, seconds=self._used)

    async def _within_limit(self) -> bool:
        """Waits for the next message; interrupts the cell when it is late. False: it did not even then come."""
        self._receive_next()
        assert self._receiving is not None
        for patience in (self._cell_seconds - self._used, SECOND_INTERRUPT, KILL):
            done, _ = await asyncio.wait({self._receiving}, timeout=max(patience, 0))
            if done:
                return True
            if patience is not KILL:
                await asyncio.to_thread(self._spawner.signal, self.pid, signal.SIGINT)
        return False

    def _receive_next(self) -> None:
        # A wait that is given up must not lose half a message: the task lives on until it is used.
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(self._channel.receive(EVENT_LIMIT))

    async def _received(self) -> Any:
        assert self._receiving is not None
        try:
            return await self._receiving
        finally:
            self._receiving = None

    async def _gather(self, first: Asked) -> CellEvent:
        """Requests of several threads travel together."""
        requests: list[Request] = [first.request]
        readings = [*first.readings]
        last, deadline = first, time.monotonic() + GATHER
        while last.running and time.monotonic() < deadline:
            self._receive_next()
            assert self._receiving is not None
            done, _ = await asyncio.wait({self._receiving}, timeout=QUIET)
            if not done:
                break
            event = parse_event(await self._received())
            if isinstance(event, CellDone):
                # The cell was stopped in the meantime: nobody waits for an answer any more.
                return replace(self._done(event), readings=(*readings, *event.readings)[:MOST_READINGS])
            last = event
            requests.append(event.request)
            readings += event.readings
        return CellPaused(tuple(requests), tuple(readings[:MOST_READINGS]))

    # The end of a worker.

    async def _killed(self) -> CellDone:
        if self._watched.verdict:
            return await self._finish(f"The worker was killed: {self._watched.verdict}; {RESTORED}.", "killed")
        limit = f"{self._cell_seconds:g} s"
        why = f"The cell ran longer than {limit}, did not stop when it was interrupted, and its worker was killed"
        return await self._finish(f"{why}; {RESTORED}.", "killed")

    async def _died(self) -> CellDone:
        status = await asyncio.to_thread(self._spawner.reap, self.pid, kill=False)
        if self._watched.verdict:
            return await self._finish(f"The worker was killed: {self._watched.verdict}; {RESTORED}.", "killed")
        return await self._finish(f"The cell ended its worker ({_ending(status)}); {RESTORED}.")

    async def _finish(self, error: str, kind: Any = "died") -> CellDone:
        self._end = CellDone("", error, kind, seconds=self._used)
        await self.close()
        return self._end


def _plain(bindings: Bindings) -> dict[str, Any]:
    source = bindings.context
    return {
        "task": bindings.task,
        "messages": [dict(message) for message in bindings.messages],
        "history": [dict(entry) for entry in bindings.history],
        "context": {"kind": source.kind, "index": [list(place) for place in source.index]} if source else None,
        "functions": list(bindings.functions),
        "code": list(bindings.code),
        "sub_calls": bindings.sub_calls,
        "seed": bindings.seed,
        "fresh_answer": bindings.fresh_answer,
    }


def _open(source: ContextSource) -> int:
    try:
        return os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"The context cannot be opened: {error}") from error


def _ending(status: int | None) -> str:
    if status is None:
        return "how is not known"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        names = {entry.value: entry.name for entry in signal.Signals}
        return f"signal {number}, {names.get(number, 'unnamed')}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"
