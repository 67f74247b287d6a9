"""Locks between those who put files into the home and the one who sweeps it; the system frees those of a dead process.

Invariant: a file is put in its place, or found there and used again, under the shared lock `using`; it is judged and
removed under the exclusive one, `sweeping`. A draft under tmp is claimed by whoever writes it until it is in its place.
Under `using` nobody waits for the database: a sweep holds its write lock while it waits for `sweeping`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

__all__ = ["claim", "claimed_directory", "is_claimed", "sweeping", "using"]


def using(home: Path) -> AbstractContextManager[None]:
    """Held for the moment in which a file of the home is found or takes its place."""
    return _locked(home, fcntl.LOCK_SH)


def sweeping(home: Path) -> AbstractContextManager[None]:
    """Held while files are judged and removed."""
    return _locked(home, fcntl.LOCK_EX)


def claim(descriptor: int) -> None:
    """Marks an open draft as being written, until it is closed."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def claimed_directory(path: Path) -> Iterator[None]:
    """Marks a draft directory as being written while the block runs, wherever it is renamed to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        claim(descriptor)
        yield
    finally:
        os.close(descriptor)


def is_claimed(path: Path) -> bool:
    """Whether a living process writes this draft.

    Raises:
        OSError: it cannot be opened; FileNotFoundError: it is gone.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _locked(home: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(home / "sweep.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough where a fork shares the descriptor
        os.close(descriptor)
