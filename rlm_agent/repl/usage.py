"""Usage: what a session takes of the machine, read by the host from /proc and from its scratch directory.

A worker's processes are all below it in the tree: it cannot leave its session and adopts its orphans. Memory is summed
so that pages that processes share count once; where the kernel does not tell shares, each process counts in full.
Shared mappings, which seccomp refuses, count by their size: their pages stay while no process has them in its tables.
Anything may end while it is read: what is gone counts nothing. Elsewhere than on Linux nothing is read.
"""

import contextlib
import os
import stat
from typing import NamedTuple

__all__ = ["Mapped", "deleted_files", "descendants", "mapped", "resident", "shares"]

PAGE = os.sysconf("SC_PAGE_SIZE")
SHARES = ("Pss_Anon:", "SwapPss:")
IN_MEMORY = ("/dev/zero", "/memfd:", "/SYSV", "/dev/shm/")
"""Names of mappings that no disk is behind."""


class Mapped(NamedTuple):
    """Bytes of shared mappings in memory, and inodes of mapped files of a directory that have no name any more."""

    memory: int = 0
    deleted: frozenset[int] = frozenset()


def descendants(root: int, most: int) -> tuple[list[int], int]:
    """Process ids of a process and all below it, and the number of their threads.

    Args:
        root: the topmost.
        most: beyond that many threads the walk ends: processes that multiply may outrun it.
    """
    found, threads, waiting = [], 0, [root]
    while waiting and threads <= most:
        pid = waiting.pop()
        tasks = _listed(f"/proc/{pid}/task")
        if tasks:
            found.append(pid)
            threads += len(tasks)
        for task in tasks:
            waiting += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
    return found, threads


def resident(pids: list[int]) -> int:
    """Bytes of memory of their own that these processes hold at most: what they share counts for each of them."""
    return sum(map(_resident, pids))


def shares(pids: list[int]) -> int:
    """Bytes of memory of their own that these processes hold together. Costs a walk over all of their pages."""
    return sum(map(_share, pids))


def mapped(pids: list[int], directory: str) -> Mapped:
    """What these processes map beside memory of their own, each thing once, up to the last byte that is mapped.

    Args:
        directory: the name of that whose files are told.
    """
    memory: dict[str, int] = {}
    deleted: set[int] = set()
    for pid in pids:
        for line in _read(f"/proc/{pid}/maps").splitlines():
            # Address, permissions, offset, device, inode, name.
            words = line.split(maxsplit=5)
            name = words[5] if len(words) > 5 else ""
            if words[1].endswith("s") and name.startswith(IN_MEMORY):
                memory[words[4]] = max(memory.get(words[4], 0), _end(words[0], words[2]))
            elif name.endswith(" (deleted)") and f"/{directory}/" in name:
                deleted.add(int(words[4]))
    return Mapped(sum(memory.values()), frozenset(deleted))


def _end(addresses: str, offset: str) -> int:
    first, _, end = addresses.partition("-")
    return int(offset, 16) + int(end, 16) - int(first, 16)


def _resident(pid: int) -> int:
    words = _read(f"/proc/{pid}/statm").split()
    return max(int(words[1]) - int(words[2]), 0) * PAGE if len(words) > 2 else 0


def _share(pid: int) -> int:
    lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith(SHARES)]
    return sum(kilobytes) * 1024 if kilobytes else _resident(pid)


def deleted_files(pids: list[int]) -> dict[int, int]:
    """Files that have no name any more and are open: bytes on disk by inode."""
    sizes: dict[int, int] = {}
    for pid in pids:
        for descriptor in _listed(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/{pid}/fd/{descriptor}")
                if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                    sizes[status.st_ino] = status.st_blocks * 512
    return sizes


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
