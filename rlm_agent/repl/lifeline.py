"""Lifeline: a forked process dies with the one that forked it, even when that is killed.

Linux tells the kernel to do so; elsewhere a process ends when it finds its channel closed.
"""

import ctypes
import os
import signal
import sys

__all__ = ["die_with_parent"]

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Asks for SIGKILL at the parent's end; ends at once when that has come already.

    Args:
        parent: process id of the parent, read before the fork.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
