"""Rlimits: bounds that the kernel holds for each process by itself. Sums over a session are the host's (`watch.py`)."""

import os
import resource
import sys
from pathlib import Path

from rlm_agent.repl.reserve import DEEP_STACK, RESERVE
from rlm_agent.repl.sandbox.libc import few_arenas, prctl

__all__ = ["TASKS", "limit", "limit_tasks"]

PR_SET_CHILD_SUBREAPER = 36
DESCRIPTORS = 1024
TASKS = 256
"""Processes and threads of a session."""


def limit(memory: int, disk: int) -> None:
    """Bounds this process and all that it starts.

    Args:
        memory: bytes of address space beyond what is mapped now.
        disk: bytes of the largest file.

    Raises:
        OSError, ValueError: a bound could not be set.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, DESCRIPTORS)
    _lower(resource.RLIMIT_FSIZE, disk)
    few_arenas()
    # Snapshots must not take from a cell what it was promised.
    _lower(resource.RLIMIT_AS, _mapped() + memory + RESERVE + DEEP_STACK)
    if sys.platform == "linux":
        # Orphans of what a cell starts stay below the worker, where the host finds and counts them.
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def limit_tasks() -> None:
    """Bounds processes and threads of this uid in this user namespace, which must be the session's own: elsewhere all
    that the user runs would count. Root of the machine is exempt, so the host counts, too."""
    _lower(resource.RLIMIT_NPROC, TASKS)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))


def _mapped() -> int:
    """Bytes of address space in use."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
