"""The roots that the file tools may read in, opened once, and the way from a written path to what is there.

Invariant: everything is opened beneath a root's descriptor (`beneath.py`); a root that is renamed or replaced later is
still the directory that was given. What a file holds is not known here.
"""

import errno
import os
import stat
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from langchain_core.tools import ToolException

from rlm_agent.errors import ConfigError
from rlm_agent_tools.files.beneath import Special, open_beneath
from rlm_agent_tools.files.names import parts_of, shown, spellings

__all__ = ["Entry", "Jail", "Place"]

_MOST_ENTRIES = 50_000
_DEEPEST = 64
_REASONS = {
    errno.ENOENT: "is not there",
    errno.ENOTDIR: "is not there: a part of the path is no directory",
    errno.EXDEV: "leads out of the root",
    errno.ELOOP: "leads over a link that is not followed",
    errno.EACCES: "may not be read",
    errno.EPERM: "may not be read",
    errno.ENAMETOOLONG: "is too long a path",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory: as it is shown from the root on, and what it is."""

    path: str
    kind: str
    size: int
    changed: float


@dataclass(frozen=True, slots=True)
class Place:
    """A path beneath a root, as bytes, and as it is shown."""

    root: int
    path: bytes
    shown: str


class Jail:
    """The roots.

    Args:
        roots: directories; with more than one, a path begins with the name of one of them.
        hidden: whether names that begin with a dot are open, too.

    Raises:
        ConfigError: a root is no directory, or two of them have one name.
    """

    def __init__(self, roots: Sequence[str | os.PathLike[str]], *, hidden: bool = False) -> None:
        if not roots:
            raise ConfigError("The file tools need a root: files:roots=DIRECTORY (several: separated by ':').")
        self.hidden = hidden
        self._roots: dict[str, int] = {}
        for root in roots:
            self._add(Path(root).expanduser())
        self._close = weakref.finalize(self, _close, tuple(self._roots.values()))

    def _add(self, root: Path) -> None:
        name = root.resolve().name or "root"
        if name in self._roots:
            raise ConfigError(f"Two roots of the file tools are named {name!r}: give directories of different names.")
        try:
            self._roots[name] = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            _close(tuple(self._roots.values()))
            raise ConfigError(
                f"The root {str(root)!r} of the file tools cannot be opened: {error.strerror}."
            ) from error

    @property
    def names(self) -> list[str]:
        """The roots' names, where a path begins with one; else none."""
        return sorted(self._roots) if len(self._roots) > 1 else []

    @contextmanager
    def file(self, path: str) -> Iterator[tuple[int, Place]]:
        """A regular file, open for reading."""
        with self._opened(path) as (found, place):
            if stat.S_ISDIR(os.fstat(found).st_mode):
                raise ToolException(f"{place.shown!r} is a directory: list_files shows what is in it.")
            yield found, place

    def entries(self, path: str) -> list[Entry]:
        """What is in a directory, by name.

        Raises:
            ToolException: it is none, or cannot be read.
        """
        if self.names and not parts_of(path, hidden=self.hidden):
            return [Entry(name, "directory", 0, os.fstat(root).st_mtime) for name, root in sorted(self._roots.items())]
        with self._opened(path) as (found, place):
            return [entry for entry, _ in self._listed(found, place)]

    def walk(self, path: str, until: float) -> Iterator[tuple[Entry, Place]]:
        """All regular files beneath a directory, in order; links are not followed.

        Args:
            path: of the directory.
            until: `time.monotonic()` at which it breaks off.

        Raises:
            ToolException: it takes too long, or there is too much.
        """
        parts = parts_of(path, hidden=self.hidden)
        starts = [path] if parts or not self.names else self.names
        stack = [self._place(start) for start in reversed(starts)]
        seen = 0
        while stack:
            place = stack.pop()
            below: list[Place] = []
            for entry, found in self._listed_again(place):
                seen += 1
                if seen > _MOST_ENTRIES or time.monotonic() > until:
                    raise ToolException(f"There is too much beneath {path!r} to look at: name a directory in it.")
                if entry.kind == "file":
                    yield entry, found
                elif entry.kind == "directory" and found.path.count(b"/") < _DEEPEST:
                    below.append(found)
            stack += reversed(below)

    @contextmanager
    def open(self, place: Place) -> Iterator[int]:
        """A place that a walk named, open for reading.

        Raises:
            OSError: it is no longer there, or cannot be read.
        """
        found = open_beneath(place.root, place.path)
        try:
            yield found
        finally:
            os.close(found)

    def _place(self, path: str) -> Place:
        parts = parts_of(path, hidden=self.hidden)
        if not self.names:
            return Place(next(iter(self._roots.values())), "/".join(parts).encode("utf-8", "surrogateescape"), path)
        if not parts or parts[0] not in self._roots:
            raise ToolException(f"{path!r} begins with none of the roots; they are {', '.join(self.names)}.")
        return Place(self._roots[parts[0]], "/".join(parts[1:]).encode("utf-8", "surrogateescape"), path)

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int, Place]]:
        found, place = self._found(path)
        try:
            yield found, place
        finally:
            os.close(found)

    def _found(self, path: str) -> tuple[int, Place]:
        """The first spelling of a path that is there."""
        place = self._place(path)
        first: OSError | None = None
        for spelling in spellings(place.path.decode("utf-8", "surrogateescape")):
            if not self.hidden and any(part.startswith(b".") and part != b"." for part in spelling.split(b"/")):
                continue
            try:
                found = open_beneath(place.root, spelling or b".")
            except OSError as error:
                first = first or error
                continue
            prefix = path.partition("/")[0] + "/" if self.names else ""
            return found, Place(place.root, spelling, prefix + shown(spelling))
        raise _explained(path, first)

    def _listed_again(self, place: Place) -> list[tuple[Entry, Place]]:
        """What is in a directory that a walk came to; below the start, nothing where it may not be read or went."""
        try:
            found = open_beneath(place.root, place.path or b".")
        except OSError as error:
            if b"/" in place.path:
                return []
            raise _explained(place.shown, error) from error
        try:
            return self._listed(found, place)
        finally:
            os.close(found)

    def _listed(self, directory: int, place: Place) -> list[tuple[Entry, Place]]:
        try:
            with os.scandir(directory) as scan:
                found = sorted(scan, key=lambda entry: os.fsencode(entry.name))
        except NotADirectoryError:
            raise ToolException(f"{place.shown!r} is a file: read_file reads it.") from None
        except OSError as error:
            raise _explained(place.shown, error) from error
        names = [(os.fsencode(entry.name), entry) for entry in found[:_MOST_ENTRIES]]
        listed = [self._member(place, name, entry) for name, entry in names if self.hidden or name[:1] != b"."]
        return [member for member in listed if member is not None]

    @staticmethod
    def _member(place: Place, name: bytes, entry: "os.DirEntry[str]") -> tuple[Entry, Place] | None:
        """One name in a directory; None where it went while the directory was listed."""
        above = "" if place.shown in ("", ".", "./") else place.shown.strip("/")
        label = f"{above}/{shown(name)}" if above else shown(name)
        try:
            described = _entry(label, entry.stat(follow_symlinks=False))
        except OSError:
            return None
        return described, Place(place.root, place.path + b"/" + name if place.path else name, label)


def _entry(path: str, found: os.stat_result) -> Entry:
    kind = "other"
    for is_kind, name in ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link")):
        if is_kind(found.st_mode):
            kind = name
    return Entry(path, kind, found.st_size, found.st_mtime)


def _explained(path: str, error: OSError | None) -> ToolException:
    if isinstance(error, Special):
        return ToolException(f"{path!r} is {error.strerror}, not a regular file.")
    reason = "is not there" if error is None else _REASONS.get(error.errno or 0, f"cannot be read: {error.strerror}")
    return ToolException(f"{path!r} {reason}.")


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
