"""The tables of the home, and how an older home comes to have them.

Invariant: a migration, once released, is never edited; a change of the tables is a new function at the end.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from rlm_agent.errors import StateVersionError

__all__ = ["MIGRATIONS", "migrate"]

_TABLES = (
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY, thread TEXT, path TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL,
        salt TEXT NOT NULL, version INTEGER NOT NULL, head TEXT, active REAL NOT NULL)""",
    "CREATE INDEX runs_by_place ON runs (thread, path, name, created)",
    "CREATE INDEX runs_by_activity ON runs (active)",
    """CREATE TABLE questions (
        run TEXT NOT NULL, number INTEGER NOT NULL, find_key TEXT, status TEXT NOT NULL, stopped_by TEXT,
        active_seconds REAL NOT NULL, created REAL NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
        result BLOB, PRIMARY KEY (run, number))""",
    "CREATE INDEX questions_by_find_key ON questions (find_key)",
    """CREATE TABLE turns (
        id TEXT PRIMARY KEY, run TEXT NOT NULL, number INTEGER NOT NULL, parent TEXT, lineage_before TEXT NOT NULL,
        lineage TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX turns_by_lineage ON turns (run, lineage)",
    "CREATE INDEX turns_by_lineage_before ON turns (run, lineage_before)",
    "CREATE INDEX turns_by_number ON turns (run, number)",
    """CREATE TABLE refs (
        run TEXT NOT NULL, path TEXT NOT NULL, turn TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (run, path, turn))""",
    """CREATE TABLE steps (
        key TEXT PRIMARY KEY, run TEXT NOT NULL, question INTEGER NOT NULL, turn INTEGER NOT NULL,
        kind TEXT NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL, calls INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, usd REAL,
        seconds REAL NOT NULL, at REAL NOT NULL, version INTEGER NOT NULL, body BLOB, body_ref TEXT)""",
    "CREATE INDEX steps_by_turn ON steps (run, question, turn)",
    """CREATE TABLE notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, text TEXT NOT NULL, message_id TEXT,
        at REAL NOT NULL, turn INTEGER)""",
    "CREATE INDEX notes_by_run ON notes (run, turn)",
    "CREATE UNIQUE INDEX notes_by_message ON notes (run, message_id)",
    """CREATE TABLE leases (
        run TEXT PRIMARY KEY, token INTEGER NOT NULL, owner TEXT NOT NULL, host TEXT NOT NULL, boot TEXT NOT NULL,
        pid INTEGER NOT NULL, started TEXT NOT NULL, since REAL NOT NULL, expires REAL NOT NULL)""",
    "CREATE TABLE blobs (key TEXT PRIMARY KEY, data BLOB NOT NULL)",
)


def _create(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)


_FORKS = (
    "ALTER TABLE runs ADD COLUMN forked_from TEXT",
    "ALTER TABLE runs ADD COLUMN forked_at INTEGER",
    "ALTER TABLE runs ADD COLUMN question INTEGER",
    "CREATE TABLE adopted_notes (run TEXT NOT NULL, note INTEGER NOT NULL, PRIMARY KEY (run, note))",
    """CREATE TABLE extensions (
        run TEXT NOT NULL, question INTEGER NOT NULL, bound TEXT NOT NULL, amount REAL NOT NULL, at REAL NOT NULL)""",
    "CREATE INDEX extensions_by_question ON extensions (run, question)",
)


def _add_forks(connection: sqlite3.Connection) -> None:
    """Runs forked from others, the question that a run stands at, notes that a fork reads again, raised bounds."""
    for statement in _FORKS:
        connection.execute(statement)


def _add_signatures(connection: sqlite3.Connection) -> None:
    """Which snapshot a turn has, signed; a rebuild gives a turn another one."""
    connection.execute(
        """CREATE TABLE snapshots (
            turn TEXT PRIMARY KEY, snapshot TEXT NOT NULL, key_id TEXT NOT NULL, mac BLOB NOT NULL, at REAL NOT NULL)"""
    )


def _add_housekeeping(connection: sqlite3.Connection) -> None:
    """When a blob was last put, in seconds since the epoch, 0 in an older version; runs of which forks need a part."""
    connection.execute("ALTER TABLE blobs ADD COLUMN touched REAL NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE runs ADD COLUMN removed INTEGER NOT NULL DEFAULT 0")


_CHILDREN = (
    "ALTER TABLE runs ADD COLUMN parent TEXT",
    "ALTER TABLE runs ADD COLUMN call TEXT",
    "CREATE INDEX runs_by_parent ON runs (parent) WHERE parent IS NOT NULL",
    "CREATE INDEX runs_by_call ON runs (call) WHERE call IS NOT NULL",
    "ALTER TABLE steps ADD COLUMN child TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX steps_by_child ON steps (child) WHERE child != ''",
)


def _add_children(connection: sqlite3.Connection) -> None:
    """Runs that answer a call of another run, and which of them took a step."""
    for statement in _CHILDREN:
        connection.execute(statement)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create,
    _add_forks,
    _add_signatures,
    _add_housekeeping,
    _add_children,
)


def migrate(connection: sqlite3.Connection, file: Path) -> None:
    """Brings the tables up to date, in one transaction.

    Raises:
        StateVersionError: a newer version of this package wrote the file.
    """
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _run_missing(connection, file)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _run_missing(connection: sqlite3.Connection, file: Path) -> None:
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise StateVersionError(
            f"{file} has schema version {version}, this version of langgraph-rlm knows up to {len(MIGRATIONS)}: "
            "upgrade langgraph-rlm (pip install -U langgraph-rlm)."
        )
    connection.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value)")
    for step in MIGRATIONS[version:]:
        step(connection)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (len(MIGRATIONS),))


def _version(connection: sqlite3.Connection) -> int:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return 0
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return int(row[0]) if row else 0
