"""What SQLite and the file system say when the home cannot be used, as HomeErrors that name the path and the remedy."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlm_agent.errors import HomeError, SnapshotCorrupt
from rlm_agent.store.salvage import readable

__all__ = ["explain", "explained"]

_ELSEWHERE = "or give another directory with RLM_HOME or home="
_FREE = f"free disk space, {_ELSEWHERE}"
_WRITABLE = f"make it writable for this user, {_ELSEWHERE}"
_REPLACE = f"restore it from a copy or move it away, {_ELSEWHERE}"

_SQLITE_REMEDIES = {
    sqlite3.SQLITE_FULL: _FREE,
    sqlite3.SQLITE_READONLY: _WRITABLE,
    sqlite3.SQLITE_CANTOPEN: _WRITABLE,
    sqlite3.SQLITE_PERM: _WRITABLE,
    sqlite3.SQLITE_NOTADB: _REPLACE,
    sqlite3.SQLITE_CORRUPT: _REPLACE,
    sqlite3.SQLITE_BUSY: "another process keeps it locked; end that process, then try again",
    sqlite3.SQLITE_IOERR: f"check the disk and its free space, {_ELSEWHERE}",
}
_CORRUPT = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_OS_REMEDIES = {errno.ENOSPC: _FREE, errno.EDQUOT: _FREE, errno.EFBIG: _FREE}


def explain(path: Path, error: BaseException) -> BaseException:
    """The HomeError that tells of an error of SQLite or the file system; any other error as it is."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        remedy = _SQLITE_REMEDIES.get(code, f"check the file, {_ELSEWHERE}")
        kind = SnapshotCorrupt if code in _CORRUPT else HomeError
        rest = readable(path) if code in _CORRUPT else ""
        return kind(f"The home's file {path} cannot be used ({error}): {remedy}.{rest}")
    if isinstance(error, OSError):
        remedy = _OS_REMEDIES.get(error.errno or 0, _WRITABLE)
        return HomeError(f"The home {error.filename or path} cannot be used ({error.strerror or error}): {remedy}.")
    return error


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns errors of SQLite and the file system into HomeErrors that name `path`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise explain(path, error) from error
