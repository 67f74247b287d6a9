"""The kinds of things that a sweep may free: rows and files of blobs, corpora, pages, drafts of dead processes.

Each tells what of it was not used since a moment, and frees one of them unless it was used meanwhile. Whether a thing
is needed, and which locks are held when it goes, is `sweep.py`'s.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Protocol

from rlm_agent.store.blobs import is_key
from rlm_agent.store.claims import is_claimed
from rlm_agent.store.pages import PAGE_NAME

__all__ = ["BlobFiles", "BlobRows", "CorpusDirectories", "Found", "Kind", "PageFiles", "free_drafts"]

_DAY_SECONDS = 24 * 3600.0
_UNCLAIMED_SECONDS = 1.0  # between making a draft and claiming it


@dataclass(frozen=True, slots=True)
class Found:
    """One thing: a blob's key, a corpus's digest, a page's or a draft's name, and its bytes."""

    name: str
    size: int


class Kind(Protocol):
    """One kind of them."""

    def old(self, connection: Connection, limit: float) -> Iterator[Found]:
        """Those that were last used before the limit, in seconds since the epoch."""

    def free(self, connection: Connection, name: str, limit: float) -> bool:
        """Frees one if it was last used before the limit; whether it did."""


class BlobRows:
    """Small blobs, rows of the database."""

    def old(self, connection: Connection, limit: float) -> Iterator[Found]:
        rows = connection.execute("SELECT key, LENGTH(data) FROM blobs WHERE touched < ?", (limit,))
        return (Found(*row) for row in rows)

    def free(self, connection: Connection, name: str, limit: float) -> bool:
        return connection.execute("DELETE FROM blobs WHERE key = ? AND touched < ?", (name, limit)).rowcount > 0


class BlobFiles:
    """Large blobs, files of their own."""

    def __init__(self, home: Path) -> None:
        self._directory = home / "blobs"

    def old(self, connection: Connection, limit: float) -> Iterator[Found]:
        for folder in self._directory.iterdir():
            for file in folder.iterdir() if folder.is_dir() else ():
                if is_key(file.name) and (there := _stat(file)) and _used(there) < limit:
                    yield Found(file.name, there.st_size)

    def free(self, connection: Connection, name: str, limit: float) -> bool:
        file = self._directory / name[:2] / name
        there = _stat(file)
        if there is None or _used(there) >= limit:
            return False
        file.unlink()
        return True


class CorpusDirectories:
    """Corpora. They leave their place by a rename, so that none is there in part."""

    def __init__(self, home: Path) -> None:
        self._directory, self._tmp = home / "corpora", home / "tmp"

    def old(self, connection: Connection, limit: float) -> Iterator[Found]:
        for directory in self._directory.iterdir():
            if is_key(directory.name) and (there := _stat(directory)) and there.st_mtime < limit:
                yield Found(directory.name, _size(directory))

    def free(self, connection: Connection, name: str, limit: float) -> bool:
        directory, away = self._directory / name, self._tmp / uuid.uuid4().hex
        there = _stat(directory)
        if there is None or there.st_mtime >= limit:
            return False
        directory.rename(away)
        shutil.rmtree(away, ignore_errors=True)
        return True


class PageFiles:
    """Web pages, by the day on which they were fetched: they are used by what reads them on that day, and by runs that
    read them then, whose ledger says so."""

    def __init__(self, home: Path) -> None:
        self._directory = home / "pages"

    def old(self, connection: Connection, limit: float) -> Iterator[Found]:
        for file in self._directory.glob("*/*"):
            name = f"{file.parent.name}/{file.name}"
            if re.fullmatch(PAGE_NAME, name) and (there := _stat(file)) and self._is_old(there, limit):
                yield Found(name, there.st_size)

    def free(self, connection: Connection, name: str, limit: float) -> bool:
        file = self._directory / name
        there = _stat(file)
        if there is None or not self._is_old(there, limit):
            return False
        file.unlink()
        return True

    def _is_old(self, there: os.stat_result, limit: float) -> bool:
        return there.st_mtime < min(limit, time.time() - _DAY_SECONDS)


def free_drafts(tmp: Path, *, dry_run: bool) -> list[Found]:
    """Frees what processes that are dead by now left half written, however new it is."""
    found: list[Found] = []
    for draft in tmp.iterdir():
        with suppress(FileNotFoundError):  # its maker has just put it in its place
            if time.time() - draft.lstat().st_mtime < _UNCLAIMED_SECONDS or is_claimed(draft):
                continue
            found.append(Found(draft.name, _size(draft)))
            if not dry_run:
                _remove(draft)
    return found


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink()


def _used(there: os.stat_result) -> float:
    return max(there.st_atime, there.st_mtime)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(there.st_size for file in files if file.is_file() and (there := _stat(file)))
