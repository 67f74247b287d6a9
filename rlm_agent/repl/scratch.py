"""Scratch: which files of the worker's directory a snapshot takes, and what it knows of them already.

Invariant: each name below the root is in the snapshot or named as lost. A file is read again unless it is sure to be as
it was: its size, times and number are the same, it was not touched shortly before it was last read (two changes may
fall into one tick of the file system's clock), and nobody can have written to it through memory unseen.
"""

import io
import mmap
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from time import sleep, time_ns
from typing import Any

from rlm_agent.repl.files import Entry, Files
from rlm_agent.repl.leaves import LARGE, PIECE, Leaves

__all__ = ["Scratch", "flush"]

# Ticks of file systems are up to two seconds long.
TICK = 2_500_000_000
MOST_NAMES = 100_000
# Small files are handed on in groups of at least so many bytes.
GROUP = 8 << 20

Send = Callable[[list[bytes]], None]
Identity = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A large file as it was read last."""

    identity: Identity
    entry: Entry
    keys: bytes


class Scratch:
    """The directory of one session.

    Args:
        root: its path.
        limit: bytes of files that a snapshot takes.
    """

    def __init__(self, root: str, limit: int) -> None:
        self.root = root
        self._limit = limit
        self._seen: dict[bytes, _Seen] = {}
        self._small: tuple[list[tuple[bytes, Identity]], Files] | None = None
        self._tells: bool | None = None

    def save(self, leaves: Leaves, send: Send) -> Files:
        """The files now.

        Args:
            leaves: learn what is new.
            send: takes each few leaves as they come; all of them are named by what is returned.
        """
        survey = _Survey(self.root, self._limit)
        survey.run()
        reading = _Reading(self.root, leaves, send)
        before, self._seen = self._seen, {}
        large = [self._large(entry, survey.identities[entry.path], before, reading) for entry in survey.of("large")]
        small = self._all_small(survey, reading)
        read = {entry.path: entry for entry in [*small.entries, *(entry for entry, _keys in large)]}
        entries = [read.get(entry.path, entry) for entry in survey.entries] + reading.cut
        return Files(tuple(entries), small.small, b"".join(keys for _entry, keys in large))

    def _large(
        self, entry: Entry, identity: Identity, before: dict[bytes, _Seen], reading: "_Reading"
    ) -> tuple[Entry, bytes]:
        seen = before.get(entry.path)
        if seen is None or seen.identity != identity or identity[1] in reading.mapped:
            began = time_ns()
            entry, keys = reading.large(entry)
            if not self._is_settled(identity, began):
                return entry, keys
            seen = _Seen(identity, entry, keys)
        self._seen[entry.path] = seen
        return seen.entry, seen.keys

    def _all_small(self, survey: "_Survey", reading: "_Reading") -> Files:
        entries = survey.of("small")
        identities = [(entry.path, survey.identities[entry.path]) for entry in entries]
        mapped = any(identity[1] in reading.mapped for _path, identity in identities)
        if self._small is None or self._small[0] != identities or mapped:
            began = time_ns()
            files = reading.small(entries)
            self._small = None
            if not all(self._is_settled(identity, began) for _path, identity in identities):
                return files
            self._small = identities, files
        return self._small[1]

    def _is_settled(self, identity: Identity, read_at: int) -> bool:
        """Whether any change after this reading will show in the file's identity."""
        if self._tells is None:
            self._tells = _tells_of_writes_in_memory(self.root)
        return self._tells and max(identity[-2:]) < read_at - TICK


def flush(values: Iterable[Any]) -> None:
    """Writes out what files that are open for writing hold back: a restored session has the file, not the handle."""
    for value in values:
        if type(value) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
            with suppress(OSError, ValueError):
                if stat.S_ISREG(os.fstat(value.fileno()).st_mode):
                    value.flush()


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _tells_of_writes_in_memory(root: str) -> bool:
    """Whether the file system changes a file's times when it is written to through a shared mapping.

    One in memory does not where the page was read before.
    """
    place = os.path.join(root, ".rlm-probe")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        try:
            file.write(b"0")
            written = os.fstat(descriptor).st_mtime_ns
            # Longer than a tick of the clock that stamps files; where it is shorter, files are read each time.
            sleep(0.02)
            with mmap.mmap(descriptor, 1) as view:
                view[0] += 1
            return os.fstat(descriptor).st_mtime_ns != written
        except (OSError, ValueError):
            return False
        finally:
            os.unlink(place)


class _Everything(frozenset[int]):
    """Where nothing can be known, all may be."""

    def __contains__(self, number: object) -> bool:
        return True


def _mapped(root: bytes) -> frozenset[int]:
    """Numbers of the files that this process may write to through memory at any time."""
    try:
        with open("/proc/self/maps", "rb") as file:
            lines = [line.rstrip(b"\n").split(maxsplit=5) for line in file]
    except OSError:
        return _Everything()
    numbers = set[int]()
    for _range, mode, _at, _device, number, *path in lines:
        if mode[1:2] == b"w" and mode[3:4] == b"s":
            numbers.add(int(number))
            # Layered file systems may show another number there.
            with suppress(OSError):
                numbers.update(os.stat(name).st_ino for name in path if _is_below(name, root))
    return frozenset(numbers)


class _Survey:
    """One look at the directory: an entry for each name, contents not yet read."""

    def __init__(self, root: str, limit: int) -> None:
        self._root = os.fsencode(root)
        # As the system calls it: the ends of links are compared with it.
        self._real = os.path.realpath(self._root)
        self._left = self._limit = limit
        self._beyond = 0
        self._names: dict[tuple[int, int], bytes] = {}
        self.entries: list[Entry] = []
        self.identities: dict[bytes, Identity] = {}

    def run(self) -> None:
        waiting = [b""]
        while waiting:
            folder = waiting.pop()
            try:
                names = sorted(os.listdir(os.path.join(self._root, folder)))
            except OSError as error:
                self._lose(folder, f"the directory cannot be read ({error.strerror})")
                continue
            below = [path for name in names if self._add(path := os.path.join(folder, name))]
            waiting.extend(reversed(below))
        if self._beyond:
            self._lose(b"", f"a snapshot holds {MOST_NAMES:,} names of files, {self._beyond:,} more are there")

    def of(self, kind: str) -> list[Entry]:
        """The entries of one kind."""
        return [entry for entry in self.entries if entry.kind == kind]

    def _add(self, path: bytes) -> bool:
        """Takes in a name. Returns whether it is a directory that is to be looked into."""
        if len(self.entries) >= MOST_NAMES:
            self._beyond += 1
            return False
        try:
            status = os.lstat(os.path.join(self._root, path))
        except FileNotFoundError:
            # It went away between two looks.
            return False
        except OSError as error:
            self._lose(path, f"it cannot be read ({error.strerror})")
            return False
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            self.entries.append(Entry(path, "dir", mode))
            return True
        if stat.S_ISREG(status.st_mode):
            self._add_file(path, mode, status)
        elif stat.S_ISLNK(status.st_mode):
            self._add_link(path)
        else:
            self._lose(path, "a socket, pipe or device lives only as long as the process that made it")
        return False

    def _add_file(self, path: bytes, mode: int, status: os.stat_result) -> None:
        number = (status.st_dev, status.st_ino)
        if number in self._names:
            self.entries.append(Entry(path, "same", target=self._names[number]))
        elif status.st_size > self._left:
            self._lose(path, f"the files of a snapshot may have {self._limit >> 20:,} MB together (Limits.disk_mb)")
        elif not os.access(os.path.join(self._root, path), os.R_OK):
            self._lose(path, "its mode does not let it be read")
        else:
            self._left -= status.st_size
            entry = Entry(path, "small", mode, status.st_size, status.st_mtime_ns)
            self.entries.append(entry if status.st_size < LARGE else replace(entry, kind="large"))
            self.identities[path] = _identity(status)
            if status.st_nlink > 1:
                self._names[number] = path

    def _add_link(self, path: bytes) -> None:
        place = os.path.join(self._root, path)
        target = os.readlink(place)
        if not _is_below(os.path.realpath(place), self._real):
            self._lose(path, f"the link leads out of the scratch directory, to {os.fsdecode(target)!r:.200}")
        elif not os.path.isabs(target):
            self.entries.append(Entry(path, "link", target=target))
        else:
            # The scratch directory of the next session has another name.
            roots = (root for root in (self._root, self._real) if _is_below(target, root))
            inner = os.path.relpath(target, next(roots, self._real))
            self.entries.append(Entry(path, "inner", target=inner))

    def _lose(self, path: bytes, why: str) -> None:
        self.entries.append(_lost(path, why))


def _lost(path: bytes, why: str) -> Entry:
    return Entry(path, "lost", target=why.encode("utf-8", "backslashreplace"))


def _is_below(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


class _Reading:
    """Reads the contents of files into leaves.

    Attributes:
        mapped: numbers of files that may change at any time.
        cut: an entry for each file that could not be read to its end.
    """

    def __init__(self, root: str, leaves: Leaves, send: Send) -> None:
        self._root = os.fsencode(root)
        self._leaves = leaves
        self._send = send
        self.mapped = _mapped(os.path.realpath(self._root))
        self.cut: list[Entry] = []

    def large(self, entry: Entry) -> tuple[Entry, bytes]:
        """The file as far as it could be read, and its keys."""
        size, keys = 0, list[bytes]()
        try:
            for piece in self._pieces(entry):
                keys.append(self._leaves.block(memoryview(piece)))
                size += len(piece)
                self._send(self._leaves.drain())
        except OSError as error:
            self.cut.append(_lost(entry.path, f"only {size:,} bytes of it could be read ({error.strerror})"))
        return replace(entry, size=size), b"".join(keys)

    def small(self, entries: list[Entry]) -> Files:
        """The files as they could be read, and the keys of their contents in a row."""
        read, keys, group = list[Entry](), list[bytes](), bytearray()
        for entry in entries:
            try:
                data = b"".join(self._pieces(entry))
            except OSError as error:
                read.append(_lost(entry.path, f"it cannot be read ({error.strerror})"))
                continue
            read.append(replace(entry, size=len(data)))
            group += data
            if len(group) >= GROUP:
                keys.append(self._text(group))
                group = bytearray()
        keys.append(self._text(group))
        return Files(tuple(read), b"".join(keys))

    def _text(self, group: bytearray) -> bytes:
        keys = self._leaves.text(group)
        self._send(self._leaves.drain())
        return keys

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        """The file, no more of it than it had when it was looked at, cut every PIECE bytes."""
        place = os.path.join(self._root, entry.path)
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            left = entry.size
            while left and (piece := file.read(min(left, PIECE))):
                left -= len(piece)
                yield piece
