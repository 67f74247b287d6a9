"""Attempts: what a confined process must not be able to do, tried for real, in a process that ends afterwards.

Each attempt is harmless where it succeeds: a file of our own beside scratch, a signal 0, a socket that connects to
nothing. An attempt that does not fail means that cells could do the same.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

__all__ = ["tried"]


def tried(canary: str) -> dict[str, str]:
    """Tries them all.

    Args:
        canary: a file outside scratch, of this user.

    Returns:
        For each attempt "" where it succeeded, else what the system said.
    """
    path = Path(canary)
    attempts: dict[str, Callable[[], object]] = {
        "read files": path.read_bytes,
        "write files": lambda: path.write_bytes(b"x"),
        "change metadata": lambda: path.chmod(0o600),
        "open sockets": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close(),
        "signal others": lambda: os.kill(os.getppid(), 0),
        "read other processes": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    }
    return {name: _outcome(attempt) for name, attempt in attempts.items()}


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
