"""Disk: a session's scratch directory as the host sees it: how much it holds, and its removal.

What is in it was made by a cell, which may nest directories beyond any path's length, take away its own rights to them
or race with whoever looks. Invariant: nothing here follows a link, and no depth exhausts a stack or descriptors.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

__all__ = ["TOO_DEEP", "TooDeep", "remove_tree", "size_of"]

TOO_DEEP = 64
"""Directories below each other that count as an attack on the one who looks."""
# What an empty file takes all the same: room for its name and its inode.
LEAST = 4096
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TooDeep(Exception):
    """Directories are nested deeper than TOO_DEEP."""


def size_of(path: str) -> tuple[int, int]:
    """Bytes on disk of a directory with all below it, and its number of entries; what vanishes meanwhile is nothing.

    Raises:
        TooDeep: see there.
    """
    total = entries = 0
    waiting = [(path, 0)]
    while waiting:
        directory, depth = waiting.pop()
        if depth > TOO_DEEP:
            raise TooDeep
        for entry in _entries(directory):
            with _vanishing():
                status = entry.stat(follow_symlinks=False)
                entries += 1
                total += max(status.st_blocks * 512, LEAST)
                if stat.S_ISDIR(status.st_mode):
                    waiting.append((entry.path, depth + 1))
    return total, entries


@contextlib.contextmanager
def _vanishing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise TooDeep from error


def _entries(directory: str) -> list["os.DirEntry[str]"]:
    with _vanishing(), os.scandir(directory) as listing:
        return list(listing)
    return []


def remove_tree(path: str) -> None:
    """Removes a directory with all below it. One that is not there is no error; what resists stays."""
    try:
        top = os.open(path, OPEN)
    except OSError:
        return
    try:
        _empty(top)
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _empty(top: int) -> None:
    """Empties a directory: whatever lies two levels down is moved up first, so that no depth is ever walked."""
    os.fchmod(top, 0o700)
    moved = 0
    while names := _without_files(top):
        for name in names:
            if _make_ours(top, name):
                moved = _flatten(top, name, moved)
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=top)
        if names == _without_files(top):
            return


def _without_files(directory: int) -> list[str]:
    """Removes what is no directory; names of what is left."""
    left = []
    for name in os.listdir(directory):
        try:
            os.unlink(name, dir_fd=directory)
        except OSError:
            left.append(name)
    return left


def _make_ours(parent: int, name: str) -> bool:
    """Takes back the rights to a directory that its maker may have given up. False: it is none."""
    try:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            return False
        os.chmod(name, 0o700, dir_fd=parent)
    except OSError:
        return False
    return True


def _flatten(top: int, name: str, moved: int) -> int:
    """Moves the directories of a directory up to the top, under names of ours."""
    try:
        directory = os.open(name, OPEN, dir_fd=top)
    except OSError:
        return moved
    try:
        for inner in _without_files(directory):
            if _make_ours(directory, inner):
                moved += 1
                with contextlib.suppress(OSError):
                    os.rename(inner, f".rlm-{os.getpid()}-{moved}", src_dir_fd=directory, dst_dir_fd=top)
    finally:
        os.close(directory)
    return moved
