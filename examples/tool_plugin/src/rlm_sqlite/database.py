"""One SQLite file, read with SQL that a model wrote.

Invariant: three independent guards keep it read-only (the mode it is opened in, an authorizer that allows reading and
nothing else, SQLite's own limits on what a statement may be), and a query ends when its time or its rows are used up.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

__all__ = ["Database", "QueryFailed"]

_CHARACTERS = 20_000
_CELL = 500
_TABLES = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY 1"
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_NO_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})


class QueryFailed(Exception):
    """The query cannot be answered; the message is for the model that wrote it."""


class Database:
    """A file, and the bounds of a query.

    Args:
        path: of the file; it must be there.
        rows: of a result, at most.
        seconds: of a query, at most.

    Raises:
        ValueError: there is no such file, or it is no database.
    """

    def __init__(self, path: str, rows: int, seconds: float) -> None:
        self.path, self.rows, self.seconds = path, rows, seconds
        if not Path(path).is_file():
            raise ValueError(f"there is no file {path}: give the path of a SQLite database")
        try:
            self.tables()
        except QueryFailed as error:
            raise ValueError(f"{path} cannot be read as a SQLite database: {error}") from error

    def tables(self) -> str:
        """A line for each table and view: its name and its columns."""
        with self._open() as connection:
            names = [str(name) for (name,) in connection.execute(_TABLES)]
            lines = [f"{name}({', '.join(_columns(connection, name))})" for name in names]
        return _cut("\n".join(lines) or "no tables")

    def query(self, sql: str) -> str:
        """The rows of one SELECT as tab-separated lines; says so where there are more."""
        with self._open() as connection:
            connection.set_authorizer(_reading_only)
            cursor = connection.execute(sql)
            if cursor.description is None:
                raise QueryFailed("that is no SELECT")
            rows = cursor.fetchmany(self.rows + 1)
            lines = ["\t".join(column[0] for column in cursor.description)]
        lines += ["\t".join(map(_cell, row)) for row in rows[: self.rows]]
        if len(rows) > self.rows:
            lines.append(f"(more rows: only the first {self.rows} are shown; count or filter in SQL)")
        return _cut("\n".join(lines))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        ends = time.monotonic() + self.seconds
        address = f"file:{quote(str(Path(self.path).absolute()))}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=self.seconds)) as connection:
                connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000_000)
                connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
                connection.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
                yield connection
        except (sqlite3.Error, sqlite3.Warning) as error:
            late = time.monotonic() > ends
            raise QueryFailed(f"not done within {self.seconds:g} s" if late else f"SQL: {error}") from error


def _reading_only(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action in _READING or (action == sqlite3.SQLITE_FUNCTION and second not in _NO_FUNCTIONS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    found = connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,))
    return [f"{name} {kind}".strip() for name, kind in found]


def _cell(value: object) -> str:
    text = f"<{len(value)} bytes>" if isinstance(value, bytes) else "NULL" if value is None else str(value)
    text = text.replace("\t", " ").replace("\n", " ")
    return text if len(text) <= _CELL else f"{text[:_CELL]}… ({len(text)} characters)"


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}\n(cut: {len(text)} characters in all)"
