"""What can still be read of a home's database that is damaged. Reads only, and stops where SQLite does."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

__all__ = ["readable"]

_SHOWN = 3


def readable(file: Path) -> str:
    """A sentence on the newest turn of each thread that can be read in a damaged database; "" where there is none."""
    newest: dict[str, int] = {}
    with suppress(sqlite3.Error, OSError), closing(_opened(file)) as connection:
        threads = dict(_rows(connection, "SELECT id, IFNULL(thread, id) FROM runs"))
        for run, number, _ in _rows(connection, "SELECT run, number, LENGTH(HEX(body)) FROM turns"):
            name = str(threads.get(run, run))
            newest[name] = max(number, newest.get(name, 0))
    if not newest:
        return ""
    listed = ", ".join(f"{name!r} to turn {number}" for name, number in list(newest.items())[-_SHOWN:])
    more = f" and {len(newest) - _SHOWN} threads more" if len(newest) > _SHOWN else ""
    return f" It can still be read in part: thread {listed}{more}. Keep the file until you have a copy to restore."


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro&immutable=1", uri=True)


def _rows(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows up to the first that cannot be read."""
    with suppress(sqlite3.Error):
        yield from connection.execute(query)
