"""Usage: what a session takes of the machine, read by the host from /proc and from its scratch directory.

A worker's processes are all below it in the tree: it cannot leave its session and adopts its orphans. Memory is summed
so that pages that processes share count once; where the kernel does not tell shares, each process counts in full.
Anything may end while it is read: what is gone counts nothing. Elsewhere than on Linux nothing is read.
"""

import contextlib
import os
import stat

__all__ = ["deleted_bytes", "descendants", "resident", "shares"]

PAGE = os.sysconf("SC_PAGE_SIZE")
SHARES = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")


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
    """Bytes of memory that these processes hold at most: what they share counts for each of them."""
    return sum(map(_resident, pids))


def shares(pids: list[int]) -> int:
    """Bytes of memory that these processes hold together. Costs a walk over all of their pages."""
    return sum(map(_share, pids))


def _resident(pid: int) -> int:
    words = _read(f"/proc/{pid}/statm").split()
    return max(int(words[1]) - int(words[2]), 0) * PAGE if len(words) > 2 else 0


def _share(pid: int) -> int:
    lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith(SHARES)]
    return sum(kilobytes) * 1024 if kilobytes else _resident(pid)


def deleted_bytes(pids: list[int]) -> int:
    """Bytes on disk of files that have no name any more and are open."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        for descriptor in _listed(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/{pid}/fd/{descriptor}")
                if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                    sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


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
