"""Files: what a scratch directory holds, as a table and leaves, and back. Runs in the worker only.

The table has a line for each name; the content of small files is one stretch of text, that of each large one blocks of
its own. Invariant: a restore writes below its root only, sets no special mode bit, and names what it could not write.
Which files a snapshot takes is decided in `scratch.py`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Literal

import msgpack

from rlm_agent.repl.dumping import Loss
from rlm_agent.repl.image import Fetch, SnapshotError
from rlm_agent.repl.leaves import Leaves, decoded, pieces
from rlm_agent.repl.manifest import KEY_BYTES

__all__ = ["Entry", "Files", "loss", "restore"]

MODE = 0o777
"""The mode bits that a restore sets: none that gives another user's rights."""
MOST_NAMED = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One name below the root.

    Attributes:
        path: relative to the root.
        kind: "small" and "large" are files, by where their content is; "same" is another name of a file; "lost" is
            what could not be saved.
        mode: permission bits.
        size: bytes of a file.
        mtime: of a file, nanoseconds since the epoch.
        target: of "same" a path like `path`; of "link" what it points to, of "inner" the same below the root; of
            "lost" why.
    """

    path: bytes
    kind: Literal["dir", "small", "large", "link", "inner", "same", "lost"]
    mode: int = 0
    size: int = 0
    mtime: int = 0
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Files:
    """A directory.

    Attributes:
        entries: a directory before what is in it.
        small: keys of the stretch of all small files, in their order.
        large: keys of the large files' blocks, in their order.
    """

    entries: tuple[Entry, ...] = ()
    small: bytes = b""
    large: bytes = b""

    @property
    def keys(self) -> bytes:
        """All keys, as a manifest names them."""
        return self.small + self.large

    @property
    def table(self) -> bytes:
        """The table; one that differs in a line differs in few of its bytes."""
        lines = [msgpack.packb(astuple(entry)) for entry in self.entries]
        return b"".join([msgpack.packb(len(self.small) // KEY_BYTES), *lines])

    @classmethod
    def read(cls, table: bytes, keys: bytes) -> "Files":
        """The inverse of `table` and `keys`.

        Raises:
            SnapshotError: they are damaged.
        """
        if not table:
            return cls()
        try:
            unpacker = msgpack.Unpacker(max_buffer_size=0)
            unpacker.feed(table)
            small = next(unpacker) * KEY_BYTES
            entries = tuple(Entry(*line) for line in unpacker)
            if not all(isinstance(entry.path, bytes) and isinstance(entry.target, bytes) for entry in entries):
                raise ValueError("a path is none")
            return cls(entries, keys[:small], keys[small:])
        except (ValueError, TypeError, StopIteration) as error:
            raise SnapshotError(f"the snapshot's table of files is damaged: {error}") from error

    def losses(self) -> list[Loss]:
        """What could not be saved."""
        return _named(
            [
                loss(entry.path, entry.target.decode("utf-8", "replace"))
                for entry in self.entries
                if entry.kind == "lost"
            ]
        )


def loss(path: bytes, why: str) -> Loss:
    """A file that is lost; its name cannot be that of a variable."""
    name = (b"./" + path).decode("utf-8", "backslashreplace")
    return Loss(name, "file", why)


def _named(losses: list[Loss]) -> list[Loss]:
    """The first of them, and how many more there are: the root reads a line for each."""
    more = len(losses) - MOST_NAMED
    return losses if more <= 0 else [*losses[:MOST_NAMED], Loss(f"./ and {more} more", "file", losses[-1].why)]


def restore(files: Files, root: str, fetch: Fetch, leaves: Leaves) -> list[Loss]:
    """Writes the files into an empty directory.

    Returns:
        What could not be written, or was lost when it was saved.
    """
    writer = _Writer(os.fsencode(root), lambda keys: _learned(fetch, leaves, keys))
    # Files get their modes when they are made, which needs no right to change one.
    mask = os.umask(0)
    try:
        return files.losses() + _named(writer.write(files))
    finally:
        os.umask(mask)


def _learned(fetch: Fetch, leaves: Leaves, keys: bytes) -> Iterator[bytes | memoryview]:
    names = [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]
    for key, leaf in zip(names, fetch(names), strict=True):
        part = decoded(leaf)
        leaves.learn(part, key)
        yield part


Parts = Callable[[bytes], Iterator[bytes | memoryview]]


class _Writer:
    """Writes one directory. `parts` gives what is in the leaves of these keys."""

    def __init__(self, root: bytes, parts: Parts) -> None:
        self._root = root
        self._parts = parts
        self._lost: list[Loss] = []
        self._folders: list[tuple[bytes, int]] = []

    def write(self, files: Files) -> list[Loss]:
        stretch = _Stretch(self._parts(files.small))
        at = 0
        for entry in files.entries:
            if entry.kind == "large":
                end = at + pieces(entry.size) * KEY_BYTES
                self._try(entry, self._parts(files.large[at:end]))
                at = end
            elif entry.kind != "lost":
                self._try(entry, iter([stretch.take(entry.size)]) if entry.kind == "small" else iter(()))
        # Only now: a directory that may not be written to would have stayed empty.
        for place, mode in reversed(self._folders):
            with suppress(OSError):
                os.chmod(place, mode)
        return self._lost

    def _try(self, entry: Entry, content: Iterator[bytes | memoryview]) -> None:
        try:
            self._make(entry, content)
        except (OSError, ValueError) as error:
            self._lost.append(loss(entry.path, f"it could not be written again ({error})"))

    def _make(self, entry: Entry, content: Iterator[bytes | memoryview]) -> None:
        place = self._place(entry.path)
        if entry.kind == "dir":
            os.mkdir(place, entry.mode & MODE | 0o700)
            self._folders.append((place, entry.mode & MODE))
        elif entry.kind == "same":
            os.link(self._place(entry.target), place, follow_symlinks=False)
        elif entry.kind in ("link", "inner"):
            os.symlink(entry.target if entry.kind == "link" else self._place(entry.target), place)
        else:
            self._fill(place, entry, content)

    def _place(self, path: bytes) -> bytes:
        if path.startswith(b"/") or b".." in path.split(b"/"):
            raise ValueError(f"{path!r} is no path below the scratch directory")
        return os.path.join(self._root, path)

    @staticmethod
    def _fill(place: bytes, entry: Entry, content: Iterator[bytes | memoryview]) -> None:
        # Not through a link that an entry before made.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(place, flags, entry.mode & MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for part in content:
                    file.write(part)
        except OSError:
            os.unlink(place)
            raise
        with suppress(OSError):
            os.utime(place, ns=(entry.mtime, entry.mtime))


class _Stretch:
    """Takes bytes off a row of parts."""

    def __init__(self, parts: Iterator[bytes | memoryview]) -> None:
        self._parts = parts
        self._rest = bytearray()

    def take(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._rest += next(self._parts)
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken
