"""Privileges: none is left and none can be had again: no capability, and `no_new_privs` for what exec would give.

Invariant: a root of the machine who starts a worker is, in it, a user who owns root's files and nothing more.
"""

import contextlib
import struct

from rlm_agent.repl.sandbox.libc import prctl, syscall

__all__ = ["drop", "hide_memory"]

PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 4, 24, 38, 47
CLEAR_ALL = 4
CAP_VERSION_3 = 0x20080522
CAPABILITIES = 64


def drop() -> None:
    """Gives up all capabilities, and what exec would give. Landlock and seccomp ask for the latter.

    Raises:
        OSError: the kernel refused.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(CAPABILITIES):
        # Without the right to do so there is nothing in the bounding set that matters; past the last one it fails, too.
        with contextlib.suppress(OSError):
            prctl(PR_CAPBSET_DROP, capability)
    with contextlib.suppress(OSError):
        prctl(PR_CAP_AMBIENT, CLEAR_ALL)
    syscall("capset", struct.pack("=II", CAP_VERSION_3, 0), bytes(24))


def hide_memory() -> None:
    """Nobody of the same user may trace this process or read its memory through /proc."""
    prctl(PR_SET_DUMPABLE, 0)
