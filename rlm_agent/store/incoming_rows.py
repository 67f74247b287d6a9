"""The rows of a run that comes in from another home, as they are inserted.

Invariant: no row that is here is changed, and no snapshot is signed for a turn that was here. A run that is here in so
far as forks need it is completed; of one that is here as a run of its own everything must be here. Signing is the one
thing that the home adds: the archive's own word for who wrote a snapshot is worth nothing.
"""

import time
from collections.abc import Mapping
from sqlite3 import Connection
from typing import Any

from rlm_agent.errors import ConfigError
from rlm_agent.store.records import TurnRecord
from rlm_agent.store.signatures import sign_op
from rlm_agent.store.signing import Key

__all__ = ["insert"]

Row = dict[str, Any]
_PRIMARY: Mapping[str, tuple[str, ...]] = {
    "questions": ("run", "number"),
    "turns": ("id",),
    "steps": ("key",),
    "notes": ("id",),
    "adopted_notes": ("run", "note"),
}


def insert(connection: Connection, rows: Mapping[str, list[Row]], turns: Mapping[str, TurnRecord], key: Key) -> None:
    """Inserts all rows.

    Args:
        connection: in the transaction.
        rows: by table, checked.
        turns: those among them, by id.
        key: signs the snapshots.

    Raises:
        ConfigError: a run that it was forked from is here, and not as far as it needs it.
        IntegrityError: a row of a new run is here.
    """
    here = dict(connection.execute("SELECT id, removed FROM runs").fetchall())
    fresh = {id for id in turns if not connection.execute("SELECT 1 FROM turns WHERE id = ?", (id,)).fetchone()}
    for row in rows.get("runs", ()):
        if row["id"] not in here:
            _insert(connection, "runs", {**row, "active": time.time()})
    for table in ("questions", "turns", "steps", "notes", "adopted_notes", "extensions"):
        for row in rows.get(table, ()):
            run = turns[row["id"]].run if table == "turns" else row["run"]
            whole = _columns(turns[row["id"]], row) if table == "turns" else row
            if run not in here:
                _insert(connection, table, whole)
            elif here[run]:
                _insert(connection, table, whole, "OR IGNORE")
            else:
                _require(connection, table, whole)
    paths = {row["id"]: row["path"] for row in rows["runs"]}
    for row in rows.get("snapshots", ()):
        if row["turn"] in fresh:
            _retain(connection, turns[row["turn"]], row["snapshot"], paths, key)


def _retain(connection: Connection, turn: TurnRecord, snapshot: str, paths: Mapping[str, str], key: Key) -> None:
    """Signs a turn's snapshot as this home's, and retains it."""
    sign_op(key, turn.id, snapshot)(connection)
    row = {"run": turn.run, "path": paths[turn.run], "turn": turn.id, "at": turn.at}
    _insert(connection, "refs", row)


def _columns(turn: TurnRecord, row: Row) -> Row:
    names = ("id", "run", "number", "parent", "lineage_before", "lineage")
    return {**{name: getattr(turn, name) for name in names}, "version": row["version"], "body": row["body"]}


def _insert(connection: Connection, table: str, row: Row, otherwise: str = "") -> None:
    places = ", ".join("?" * len(row))
    query = f"INSERT {otherwise} INTO {table} ({', '.join(row)}) VALUES ({places})"
    connection.execute(query, tuple(row.values()))


def _require(connection: Connection, table: str, row: Row) -> None:
    names = _PRIMARY[table]
    query = f"SELECT 1 FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in names)}"
    if not connection.execute(query, tuple(row[name] for name in names)).fetchone():
        run = row["run"]
        raise ConfigError(
            f"Run {run}, which the run in the archive was forked from, is in this home too, but stands elsewhere than "
            "it did there: import into another home, or remove that thread first (rlm rm)."
        )
