"""Who a process is, so that another one can tell whether it still lives.

A process is named by host, boot, PID namespace, pid and start time: a pid that was given out again is another process.
"""

import os
import platform
import socket
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["Process", "this_process"]


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `started` is "" where the system does not tell."""

    host: str
    boot: str
    pid: int
    started: str

    def is_near(self) -> bool:
        """Whether it is of this host, boot and PID namespace, so that it can be looked at from here."""
        here = this_process()
        return (self.host, self.boot) == (here.host, here.boot)

    def is_dead(self) -> bool:
        """Whether it is surely gone: only ever True for a process of this host, boot and PID namespace."""
        if not self.is_near():
            return False
        started = _start_of(self.pid)
        return started is None or bool(started and self.started and started != self.started)


def this_process() -> Process:
    """The process that calls."""
    return _describe(os.getpid())


@lru_cache(maxsize=1)
def _describe(pid: int) -> Process:
    return Process(socket.gethostname(), _boot(), pid, _start_of(pid) or "")


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _start_of(pid: int) -> str | None:
    """When a process started, in the system's own terms; None when it is gone or only waits to be reaped."""
    if not sys.platform.startswith("linux"):
        return _signalled(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = fields[0], fields[19]  # proc(5): fields 3 and 22
    return None if state in "ZX" else started


def _signalled(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
