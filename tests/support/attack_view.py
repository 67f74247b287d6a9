"""View: what the judge sees of an attacked session from outside, whatever its cell says: what its processes hold.

Descriptors that stand for a power over the kernel or the network, namespaces that none of its processes was born in,
tracers, rights, device files in scratch. Nothing here asks the cell.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["View", "hot_pages_of", "keys_of"]

POWERS = re.compile(
    r"anon_inode:\[?(io_uring|userfaultfd|perf_event|fanotify|fscontext|bpf-\w+)"
    r"|/dev/(?:kmsg|ptmx|pts/ptmx)$|/sys/.*"
)
NAMESPACES = ("user", "mnt", "net", "ipc", "uts", "pid")
LISTENS = 0x10000


class View:
    """One session's processes, as they come and go.

    Args:
        worker: of the session, before its cell runs.
        scratch: its directory.
        known: processes that are none of its.

    Attributes:
        seen: what its processes held so far.
    """

    def __init__(self, worker: int, scratch: str, known: set[int]) -> None:
        self._worker, self._scratch, self._known = worker, Path(scratch), known | {os.getpid()}
        self._born_in = _namespaces(worker)
        self._born_with = _sockets(worker)
        self.seen: set[str] = set()

    def look(self) -> None:
        """Adds what its processes hold now."""
        for pid in {int(name) for name in os.listdir("/proc") if name.isdigit()} - self._known:
            try:
                self.seen.update(self._of(pid))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue

    def look_at_last(self) -> None:
        """Adds what is left when the cell has ended."""
        self.look()
        self.seen |= {f"a device {path.name}" for path in self._scratch.rglob("*") if _is_device(path)}
        self.seen.update(_rights(self._worker))

    def _of(self, pid: int) -> Iterator[str]:
        for kind, inode in _namespaces(pid).items():
            if inode != self._born_in.get(kind):
                yield f"a namespace ({kind})"
        if _status(pid).get("TracerPid", "0") != "0":
            yield "a tracer"
        for fd in os.listdir(f"/proc/{pid}/fd"):
            yield from self._descriptor(pid, fd)

    def _descriptor(self, pid: int, fd: str) -> Iterator[str]:
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
        if link.startswith("socket:"):
            yield from () if link in self._born_with else _socket(pid, link[8:-1])
        elif link.startswith("/dev/") and stat.S_ISBLK(os.stat(f"/proc/{pid}/fd/{fd}").st_mode):
            yield f"a disk ({link})"
        elif (found := POWERS.match(link)) and not (link.startswith("/sys") and not _writes(pid, fd)):
            yield f"a descriptor ({found[1] or link})"


def _namespaces(pid: int) -> dict[str, str]:
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in NAMESPACES}


def _sockets(pid: int) -> set[str]:
    links = (os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    return {link for link in links if link.startswith("socket:")}


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _rights(pid: int) -> Iterator[str]:
    """What its status says: of capabilities, and of what programs could give."""
    status = _status(pid) if Path(f"/proc/{pid}").exists() else {}
    if int(status.get("CapEff", "0"), 16):
        yield "capabilities"
    if status.get("NoNewPrivs") == "0":
        yield "set-user-id programs"


def _writes(pid: int, fd: str) -> bool:
    flags = re.search(r"^flags:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/{fd}").read_text(), re.MULTILINE)
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY


def _socket(pid: int, inode: str) -> Iterator[str]:
    """One of a pair is none; one of another family, or one that listens, is a power."""
    lines = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]]
    flags = next((int(line[3], 16) for line in lines if line[6] == inode), None)
    if flags is None:
        yield "a socket"
    elif flags & LISTENS:
        yield "a listener"


def _is_device(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def keys_of(uid: int) -> str:
    """How many keys of the kernel's a user has, as the kernel tells it."""
    try:
        lines = Path("/proc/key-users").read_text().splitlines()
    except FileNotFoundError:
        return ""
    return next((line.split()[2] for line in lines if line.split(":")[0].strip() == str(uid)), "0/0")


def hot_pages_of(pid: int) -> list[str]:
    """KB of each of a process's regions that were in use lately, as the kernel counts it."""
    return re.findall(r"^Referenced:\s+(\d+)", Path(f"/proc/{pid}/smaps").read_text(), re.MULTILINE)
