"""Watch: two threads of the host that hold sessions to their limits, children included, and end those beyond.

Bounds that the kernel holds for single processes are in `sandbox/rlimits.py`. A session is looked at ten times a second
while a cell of it runs or waits, its disk less often and never more than a fraction of the time; idle ones once a
second. Invariant: a session that is ended has a verdict first, which its next reader gets to see.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

from rlm_agent.repl.disk import TOO_DEEP, TooDeep, size_of
from rlm_agent.repl.sandbox.rlimits import TASKS
from rlm_agent.repl.spawner import Spawner
from rlm_agent.repl.usage import Mapped, deleted_files, descendants, mapped, resident, shares
from rlm_agent.settings import Limits

__all__ = ["OWN_MEMORY", "Watch", "Watched", "shared_watch"]

TICK = 0.1
# Every which tick an idle session is looked at, and the disk of any.
IDLE, DISK = 10, 5
# The share of a session's time that a measure of its memory or disk may take.
SHARE = 0.1
OWN_MEMORY = 256 << 20
"""What Python and its libraries take themselves, which a limit does not count."""
MOST_FILES = 1_000_000


class Watched:
    """One session.

    Args:
        spawner: what the worker was forked by.
        pid: of the worker, as the spawner knows it.
        scratch: its directory.
        limits: `memory_mb` and `disk_mb` are held.

    Attributes:
        busy: a cell runs or waits.
        verdict: why the session was ended; None where it was not.
    """

    def __init__(self, spawner: Spawner, pid: int, scratch: str, limits: Limits) -> None:
        self.pid = pid
        self.scratch = scratch
        self.busy = False
        self.verdict: str | None = None
        self._spawner = spawner
        self._limits = limits
        self._memory_due = self._disk_due = 0.0
        self._mapped = Mapped()
        self._hidden: frozenset[int] = frozenset()

    def end(self, verdict: str) -> None:
        """Ends the session."""
        self.verdict = verdict
        self._spawner.signal(self.pid, signal.SIGKILL)

    def count(self, _tick: int) -> str | None:
        """A verdict on the number of processes and threads. Waits for nothing that the session could hold up."""
        _, threads = self._tree()
        return f"it ran more than {TASKS} processes and threads" if threads > TASKS else None

    def weigh(self, tick: int) -> str | None:
        """A verdict on memory, and every few ticks on the disk."""
        pids, _ = self._tree()
        return self._of_memory(pids) or (self._of_disk(pids) if tick % DISK == 0 else None)

    def _tree(self) -> tuple[list[int], int]:
        return descendants(self._spawner.host_pid(self.pid), TASKS)

    def _of_memory(self, pids: list[int]) -> str | None:
        limit = self._limits.memory_mb << 20
        began = time.monotonic()
        if resident(pids) + self._mapped.memory <= limit + OWN_MEMORY or began < self._memory_due:
            return None
        held = shares(pids) + self._mapped.memory - OWN_MEMORY
        self._memory_due = _next(began)
        if held <= limit:
            return None
        several = f" in {len(pids)} processes" if len(pids) > 1 else ""
        return f"it held {held >> 20} MB of memory{several}, more than memory_mb={self._limits.memory_mb}"

    def _of_disk(self, pids: list[int]) -> str | None:
        began = time.monotonic()
        if began < self._disk_due:
            return None
        try:
            held, files = size_of(self.scratch)
        except TooDeep:
            return f"its directories were nested deeper than {TOO_DEEP}"
        deleted = deleted_files(pids)
        self._mapped = mapped(pids, os.path.basename(self.scratch))
        self._disk_due = _next(began)
        # Twice, since a file may be opened or closed between the one look and the other.
        hidden, before = self._mapped.deleted - deleted.keys(), self._hidden
        self._hidden = hidden
        if hidden & before:
            return "it mapped a deleted file that it did not keep open, so that its size cannot be told"
        held += sum(deleted.values())
        if files > MOST_FILES:
            return f"it made {files} files, more than {MOST_FILES}"
        if held <= self._limits.disk_mb << 20:
            return None
        return f"its files held {held >> 20} MB, more than disk_mb={self._limits.disk_mb}"


Look = Callable[[Watched, int], str | None]


def _next(began: float) -> float:
    """When a measure that began then may be taken again."""
    now = time.monotonic()
    return now + (now - began) / SHARE


class Watch:
    """All sessions of this process. Its threads live while there are any.

    Processes are counted by a thread of its own: reading the memory of one that forks without end takes as long as it
    likes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: set[Watched] = set()
        self._running: set[Look] = set()

    def add(self, session: Watched) -> None:
        """Looks after a session from now on."""
        with self._lock:
            self._sessions.add(session)
            for look in (Watched.count, Watched.weigh):
                if look not in self._running:
                    self._running.add(look)
                    threading.Thread(target=self._run, args=(look,), name="rlm-watch", daemon=True).start()

    def remove(self, session: Watched) -> None:
        """Its worker is about to be reaped: its process id means nothing any more. Harmless twice."""
        with self._lock:
            self._sessions.discard(session)

    def _run(self, look: Look) -> None:
        tick = 0
        with contextlib.suppress(OSError):
            # Root's processes have no bound in the kernel: whoever ends them must get to run among hundreds of them.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -20)
        while True:
            with self._lock:
                if not self._sessions:
                    self._running.discard(look)
                    return
                sessions = list(self._sessions)
            for session in sessions:
                if session.verdict is None and (session.busy or tick % IDLE == 0):
                    _judge(session, look, tick)
            tick += 1
            time.sleep(TICK)


def _judge(session: Watched, look: Look, tick: int) -> None:
    try:
        verdict = look(session, tick)
    except Exception as error:  # noqa: BLE001  # whatever a hostile session brought about, the others stay watched
        verdict = f"what it held could not be measured ({type(error).__name__}: {error})"
    if verdict:
        session.end(verdict)


_shared: list[Watch] = []
_shared_lock = threading.Lock()


def shared_watch() -> Watch:
    """The watch of this process; a forked child starts one of its own."""
    with _shared_lock:
        if not _shared:
            _shared.append(Watch())
            os.register_at_fork(after_in_child=_shared.clear)
        return _shared[0]
