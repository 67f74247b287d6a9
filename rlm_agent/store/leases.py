"""Leases: a run has one owner at a time.

Invariant: the token of a run grows with every owner, and a fenced write passes under the newest token only. A lease
lasts TTL seconds unless renewed; an owner known to be dead loses it at once. Runs are not known here, only their ids.
"""

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from sqlite3 import Connection
from types import TracebackType
from typing import Any, Self

from rlm_agent.errors import HomeError, LeaseHeld
from rlm_agent.store.database import Database, settled
from rlm_agent.store.fence import Fence
from rlm_agent.store.owners import Process, this_process
from rlm_agent.store.writer import Op

__all__ = ["BEAT_SECONDS", "TTL_SECONDS", "Fence", "Lease", "Leases", "forget_owner", "working_since"]

TTL_SECONDS = 15.0
BEAT_SECONDS = 5.0
_POLL_SECONDS = 0.2
_UNKNOWN_SECONDS = 24 * 3600.0
_SELECT = "SELECT token, owner, host, boot, pid, started, since, expires FROM leases"


@dataclass(frozen=True, slots=True)
class _Row:
    """The lease of a run as the home has it. `owner` is "" when nobody holds it."""

    token: int
    owner: str
    process: Process
    since: float
    expires: float

    def is_held(self) -> bool:
        return bool(self.owner) and self.expires > time.time() and not self.process.is_dead()

    def may_still_write(self) -> bool:
        """Whether its owner may live: a stopped process goes on after its lease ran out, if nobody took it over."""
        if not self.owner or self.process.is_dead():
            return False
        return self.process.is_near() or self.expires + _UNKNOWN_SECONDS > time.time()


class Lease:
    """An owned run, from `Leases.acquire` until released. An async context manager.

    Attributes:
        fence: to be given with every write.
        lost: True once the heartbeat saw that another owner took the run over.
    """

    def __init__(self, leases: "Leases", fence: Fence) -> None:
        self.fence = fence
        self.lost = False
        self._leases = leases

    async def release(self) -> None:
        """Gives the run back. Harmless twice."""
        released = self._leases._give_back(self)
        if released is not None:
            await settled(released)

    def release_sync(self) -> None:
        """Like `release`, for threads."""
        released = self._leases._give_back(self)
        if released is not None:
            released.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()


class Leases:
    """The leases of one home, and those that this process holds, kept alive by one thread."""

    def __init__(self, database: Database, *, ttl: float = TTL_SECONDS, beat: float = BEAT_SECONDS) -> None:
        self._database = database
        self._ttl = ttl
        self._beat = beat
        self.forget()

    def forget(self) -> None:
        """Drops what the parent process holds, in a forked child."""
        self._held: dict[Fence, Lease] = {}
        self._heart: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()

    async def acquire(self, run: str, wait: float = 20.0) -> Lease:
        """Owns a run, waiting up to `wait` seconds for another owner, in this process or elsewhere.

        Raises:
            LeaseHeld: it still has one then; the message names the process.
        """
        deadline = time.monotonic() + wait
        while True:
            outcome = await self._try(run)
            if isinstance(outcome, int):
                return self._hold(Fence(run, outcome))
            if time.monotonic() >= deadline:
                raise LeaseHeld(_held_message(run, outcome))
            await asyncio.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Gives all leases of this process back and ends the heartbeat. Harmless twice."""
        with self._lock:
            heart, self._heart = self._heart, None
        self._stop.set()
        if heart is not None:
            heart.join()
        for lease in list(self._held.values()):
            lease.release_sync()

    async def _try(self, run: str) -> int | _Row:
        await self._database.ready()
        attempt = self._database.write(_take_op(run, self._ttl))
        try:
            return await settled(attempt)
        except asyncio.CancelledError:
            attempt.add_done_callback(lambda done: self._abandon(run, done))
            raise

    def _abandon(self, run: str, attempt: "Future[int | _Row]") -> None:
        if attempt.exception() is None and isinstance(token := attempt.result(), int):
            self._database.write(_release_op(Fence(run, token)))

    def _hold(self, fence: Fence) -> Lease:
        lease = self._held[fence] = Lease(self, fence)
        with self._lock:
            if self._heart is None:
                self._stop = threading.Event()
                self._heart = threading.Thread(
                    target=self._keep, args=(self._stop,), name="rlm-home-lease", daemon=True
                )
                self._heart.start()
        return lease

    def _give_back(self, lease: Lease) -> "Future[None] | None":
        if self._held.pop(lease.fence, None) is None:
            return None
        return self._database.write(_release_op(lease.fence))

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(self._beat):
            held = list(self._held)
            try:
                lost = self._database.write(_renew_op(held, self._ttl)).result() if held else []
            except HomeError:
                continue  # a full disk or a locked file may be well again at the next beat
            for fence in lost:
                if (lease := self._held.pop(fence, None)) is not None:
                    lease.lost = True


def _held_message(run: str, row: _Row) -> str:
    since = datetime.fromtimestamp(row.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    process = row.process
    return (
        f"Run {run} is held by process {process.pid} on {process.host} since {since}. Wait until that call ends, or "
        f"stop that process: the lease of a dead process is free at once on the same machine, "
        f"elsewhere after {TTL_SECONDS:.0f} seconds."
    )


def _take_op(run: str, ttl: float) -> Op[int | _Row]:
    def op(connection: Connection) -> int | _Row:
        row = _row(connection, run)
        if row is not None and row.is_held():
            return row
        token = 1 if row is None else row.token + 1
        me, now = this_process(), time.time()
        connection.execute(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (run, token, f"{me.pid}@{me.host}", me.host, me.boot, me.pid, me.started, now, now + ttl),
        )
        return token

    return op


def _renew_op(held: list[Fence], ttl: float) -> Op[list[Fence]]:
    """Renews leases and returns those that somebody else has by now."""
    query = "UPDATE leases SET expires = ? WHERE run = ? AND token = ? AND owner != ''"

    def op(connection: Connection) -> list[Fence]:
        expires = time.time() + ttl
        return [f for f in held if not connection.execute(query, (expires, f.run, f.token)).rowcount]

    return op


def _release_op(fence: Fence) -> Op[None]:
    def op(connection: Connection) -> None:
        connection.execute("UPDATE leases SET owner = '' WHERE run = ? AND token = ?", (fence.run, fence.token))

    return op


def forget_owner(connection: Connection, run: str) -> None:
    """Blanks who owned a run. The row stays: its token must go on growing, or an old owner could pass again."""
    blank = "owner = '', host = '', boot = '', pid = 0, started = '', since = 0"
    connection.execute(f"UPDATE leases SET {blank} WHERE run = ?", (run,))


def working_since(connection: Connection) -> float | None:
    """When the longest of the leases began whose owners may still write; None where nobody may."""
    rows = map(_row_from, connection.execute(f"{_SELECT} WHERE owner != ''"))
    return min((row.since for row in rows if row.may_still_write()), default=None)


def _row(connection: Connection, run: str) -> _Row | None:
    found = connection.execute(f"{_SELECT} WHERE run = ?", (run,)).fetchone()
    return None if found is None else _row_from(found)


def _row_from(found: tuple[Any, ...]) -> _Row:
    token, owner, host, boot, pid, started, since, expires = found
    return _Row(token, owner, Process(host, boot, pid, started), since, expires)
