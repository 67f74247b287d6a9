"""Directories and globs as sources: which of their files belong, and under which names.

Invariant: files come in the order of their relative POSIX paths; what lies outside of the tree is not reached through
symbolic links, and linked directories are never entered. What is left out is named; what a .gitignore names is counted.
"""

import glob
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, cast

from rlm_agent.errors import ConfigError
from rlm_agent.store.ignore import Ignore
from rlm_agent.store.members import VERSION_CONTROL
from rlm_agent.store.parts import Part, Source

__all__ = ["WILD", "fixed_part", "from_directory", "from_glob", "opened_file", "printable"]

WILD = re.compile(r"[*?\[]")


def from_directory(path: Path, avoid: Path) -> Source:
    """All files of a tree but those of version control and those that a .gitignore names.

    Args:
        path: its root.
        avoid: a directory that is no part of any corpus.
    """
    walk = _Walk(path, os.path.realpath(avoid))
    files = sorted(walk.files(), key=lambda file: file.as_posix())
    unread = [printable(os.path.relpath(folder, path)) for folder in walk.unread]
    return _several(path.resolve().name or str(path), path, path, files, walk.ignored, unread)


def from_glob(pattern: Path, avoid: Path) -> Source:
    """The files that match, a .gitignore or not, named from the last folder without a wildcard.

    Raises:
        ConfigError: there are none.
    """
    inside = os.path.realpath(avoid) + os.sep
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True) if os.path.isfile(name))
    files = [file for file in found if not os.path.realpath(file).startswith(inside)]
    if not files:
        raise ConfigError(f"No file matches {pattern}. To give text of one line, pass it as bytes: text.encode().")
    return _several(str(pattern), pattern, fixed_part(pattern), files)


def fixed_part(pattern: Path) -> Path:
    """The folder above the first wildcard."""
    first = next(i for i, part in enumerate(pattern.parts) if WILD.search(part))
    return Path(*pattern.parts[:first])


def opened_file(path: Path) -> BinaryIO:
    """A file as a stream without a buffer of its own."""
    return cast(BinaryIO, io.FileIO(path))


@dataclass(slots=True)
class _Walk:
    """Files, links and special files below a directory, how many are ignored, and folders that cannot be listed."""

    root: Path
    avoid: str
    ignored: int = 0
    unread: list[str] = field(default_factory=list)
    _rules: dict[tuple[bytes, ...], Ignore] = field(default_factory=lambda: {(): Ignore()})

    def files(self) -> Iterator[Path]:
        for directory, names, files in os.walk(self.root, onerror=lambda error: self.unread.append(error.filename)):
            here, folder = Path(directory), _names(self.root, directory)
            rules = self._rules[folder] = self._rules[folder[:-1]].within(here, len(folder))
            links = [name for name in names if os.path.islink(here / name)]
            names[:] = [name for name in names if name not in links and self._enters(here / name)]
            for name in [name for name in names if rules.leaves_out([*folder, os.fsencode(name)], directory=True)]:
                names.remove(name)
                self.ignored += sum(len(within) for _, _, within in os.walk(here / name))
            for name in (*files, *links):
                if rules.leaves_out([*folder, os.fsencode(name)], directory=False):
                    self.ignored += 1
                elif name != ".git":
                    yield here / name

    def _enters(self, directory: Path) -> bool:
        return directory.name not in VERSION_CONTROL and os.path.realpath(directory) != self.avoid


def _names(root: Path, directory: str) -> tuple[bytes, ...]:
    """The names from the root to a directory in it."""
    relative = os.path.relpath(directory, root)
    return () if relative == "." else tuple(map(os.fsencode, Path(relative).parts))


def _several(
    name: str, where: Path, root: Path, found: Iterable[Path], ignored: int = 0, unread: Iterable[str] = ()
) -> Source:
    parts, left_out = [], list(unread)
    top = os.path.realpath(root)
    folders = cache(os.path.realpath)
    for file in found:
        label = printable(os.path.relpath(file, root))
        if _is_inside(file, top, folders):
            parts.append(Part(label, str(file), partial(opened_file, file)))
        else:
            left_out.append(label)
    return Source(name, str(where), (p for p in parts), lone=False, left_out=left_out, ignored=ignored)


def _is_inside(file: Path, top: str, folders: Callable[[Path], str]) -> bool:
    """Whether this is a regular file, reached without leaving the tree."""
    real = os.path.realpath(file) if file.is_symlink() else os.path.join(folders(file.parent), file.name)
    return real.startswith(os.path.join(top, "")) and os.path.isfile(real)


def printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
