"""Namespaces: a user namespace, so that the rest needs no root, and in it an empty network, IPC and mount table.

Invariant: the process has one thread, and keeps its uid and gid. In the network namespace nothing is up, not even
loopback; abstract unix sockets and System V IPC of others do not exist in it.
"""

import os

from rlm_agent.repl.sandbox.libc import unshare

__all__ = ["enter"]

NEW_USER, NEW_NET, NEW_IPC, NEW_MOUNT = 0x10000000, 0x40000000, 0x08000000, 0x00020000


def enter() -> None:
    """Moves this process into namespaces of its own.

    Raises:
        OSError: the system does not let this user make them.
    """
    uid, gid = os.getuid(), os.getgid()
    unshare(NEW_USER | NEW_NET | NEW_IPC | NEW_MOUNT)
    _write("setgroups", "deny")
    _write("uid_map", f"{uid} {uid} 1")
    _write("gid_map", f"{gid} {gid} 1")


def _write(name: str, text: str) -> None:
    # The kernel takes each of these in one write.
    fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
