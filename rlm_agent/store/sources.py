"""What a caller may name as a corpus, resolved to texts and streams; nothing is read here but directories.

Invariant: a directory is read in the order of its relative POSIX paths; what lies outside of it is not reached through
symbolic links. What is left out is named. Archives, addresses and collections of sources are refused, by name.
"""

import glob
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO

from rlm_agent.errors import ConfigError

__all__ = ["Part", "Source", "resolve"]

_TEXT_CHARS = 4096
_WILD = re.compile(r"[*?\[]")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SUFFIX = re.compile(r"\.\w{1,8}$")
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar")
_VERSION_CONTROL = {".git", ".hg", ".svn", ".bzr", ".jj", "_darcs", "CVS"}
_AS_TEXT = "To give text of one line, pass it as bytes: text.encode()."


@dataclass(frozen=True, slots=True)
class Part:
    """One text: a str, or a stream that can be opened; `where` names it to people."""

    name: str
    where: str
    content: str | Callable[[], io.RawIOBase | BinaryIO]


@dataclass(frozen=True, slots=True)
class Source:
    """What was named.

    Attributes:
        name: short, for people.
        where: the same in full.
        lone: True where it is one text, False where it is a dict of names.
        files: how many parts are files.
        left_out: names that were not followed.
    """

    name: str
    where: str
    parts: tuple[Part, ...]
    lone: bool
    files: int
    left_out: tuple[str, ...] = ()


def resolve(source: Any, avoid: Path) -> Source:
    """Tells what a source is.

    Args:
        source: as `Corpus.load` takes it.
        avoid: a directory that is no part of any corpus: the home itself.

    Raises:
        ConfigError: it is nothing that can be loaded; the message names it.
    """
    if isinstance(source, str):
        return _from_string(source, avoid)
    if isinstance(source, bytes | bytearray | memoryview):
        return _lone("bytes", Part("", "the bytes", partial(io.BytesIO, bytes(source))), files=0)
    if isinstance(source, os.PathLike):
        return _from_path(Path(source).expanduser(), avoid)
    if isinstance(source, list | tuple | dict):
        raise ConfigError(
            "Corpus.load takes one source in this version: a text, bytes, file, directory or glob, not a "
            f"{type(source).__name__} of them. Put the files under one directory."
        )
    raise ConfigError(f"Corpus.load cannot load a {type(source).__name__}: give text, bytes, a path or a glob.")


def _from_string(source: str, avoid: Path) -> Source:
    if not source or "\n" in source or len(source) > _TEXT_CHARS:
        return _text(source)
    if _ADDRESS.match(source):
        raise ConfigError(f"Corpus.load does not fetch addresses in this version: download {source} and give the file.")
    path = Path(source).expanduser()
    if os.path.exists(path):
        return _from_path(path, avoid)
    if _WILD.search(source):
        return _from_glob(path, avoid)
    if os.sep in source or _SUFFIX.search(source):
        raise ConfigError(f"No such file or directory: {source}. {_AS_TEXT}")
    return _text(source)


def _text(text: str) -> Source:
    return _lone("text", Part("", "the text", text), files=0)


def _lone(name: str, part: Part, files: int) -> Source:
    return Source(name, part.where, (part,), True, files)


def _from_path(path: Path, avoid: Path) -> Source:
    if not os.path.exists(path):
        if _WILD.search(str(path)):
            return _from_glob(path, avoid)
        raise ConfigError(f"No such file or directory: {path}.")
    if path.is_dir():
        return _from_directory(path, avoid)
    if not path.is_file():
        raise ConfigError(f"{path} is neither a file nor a directory: copy what it gives into a file.")
    if path.name.lower().endswith(_ARCHIVES):
        raise ConfigError(f"Corpus.load does not unpack archives in this version: unpack {path}, give the directory.")
    return _lone(path.name, Part("", str(path), partial(io.FileIO, path)), files=1)


def _from_directory(path: Path, avoid: Path) -> Source:
    found = sorted(_walk(path, os.path.realpath(avoid)), key=lambda file: file.as_posix())
    return _several(path.resolve().name or str(path), str(path), path, found)


def _from_glob(pattern: Path, avoid: Path) -> Source:
    root = Path(*pattern.parts[: _first_wild(pattern)])
    inside = os.path.realpath(avoid) + os.sep
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True) if os.path.isfile(name))
    found = [file for file in found if not os.path.realpath(file).startswith(inside)]
    if not found:
        raise ConfigError(f"No file matches {pattern}. {_AS_TEXT}")
    return _several(str(pattern), str(pattern), root, found)


def _first_wild(pattern: Path) -> int:
    return next(i for i, part in enumerate(pattern.parts) if _WILD.search(part))


def _several(name: str, where: str, root: Path, found: list[Path]) -> Source:
    parts, left_out = [], []
    top = os.path.realpath(root)
    folders = cache(os.path.realpath)
    for file in found:
        label = _printable(os.path.relpath(file, root))
        if _is_inside(file, top, folders):
            parts.append(Part(label, str(file), partial(io.FileIO, file)))
        else:
            left_out.append(label)
    return Source(name, where, tuple(parts), False, len(parts), tuple(left_out))


def _walk(root: Path, avoid: str) -> Iterator[Path]:
    """Files, links and special files below a directory. Linked directories are listed, never entered."""
    for directory, names, files in os.walk(root):
        here = Path(directory)
        names[:] = [n for n in names if n not in _VERSION_CONTROL and os.path.realpath(here / n) != avoid]
        links = [n for n in names if (here / n).is_symlink()]
        yield from (here / name for name in (*files, *links))


def _is_inside(file: Path, top: str, folders: Callable[[Path], str]) -> bool:
    """Whether this is a regular file, reached without leaving the tree."""
    real = os.path.realpath(file) if file.is_symlink() else os.path.join(folders(file.parent), file.name)
    return real.startswith(os.path.join(top, "")) and os.path.isfile(real)


def _printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
