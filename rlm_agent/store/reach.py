"""What a run can reach: its own rows, and those of the runs it was forked from, up to the turn at which it left each.

A fork stands where its origin stood: what was spent and said until then is its own past. Whose rows they are is
the business of the modules that use it.
"""

from sqlite3 import Connection

from rlm_agent.store.plain import unpack

__all__ = ["REACH", "family", "origins", "reach"]

REACH = """
    WITH RECURSIVE reach (run, until) AS (
        SELECT ?, NULL
        UNION ALL
        SELECT r.forked_from, MIN(r.forked_at, IFNULL(reach.until, r.forked_at))
        FROM reach JOIN runs r ON r.id = reach.run WHERE r.forked_from IS NOT NULL)"""
"""Begins a query with the table `reach (run, until)`; takes the run's id. `until` is NULL for the run itself."""

_FAMILY = """
    WITH RECURSIVE family (id) AS (
        SELECT ? UNION SELECT r.id FROM family JOIN runs r ON r.parent = family.id)
    SELECT id FROM family"""


def family(connection: Connection, run: str) -> list[str]:
    """The ids of a run, of its children and of theirs."""
    return [id for (id,) in connection.execute(_FAMILY, (run,))]


def reach(connection: Connection, run: str) -> list[str]:
    """The ids of a run and of those that it descends from, the nearest one first."""
    return [row[0] for row in connection.execute(f"{REACH} SELECT run FROM reach", (run,))]


def origins(connection: Connection, run: str) -> dict[str, int]:
    """The runs whose record a run needs beside its own, and each's last turn of which it does.

    These are the runs that it descends from, and those whose recorded replies its own turns took.
    """
    until = f"{REACH} SELECT run, until FROM reach WHERE until IS NOT NULL"
    last: dict[str, int] = dict(connection.execute(until, (run,)).fetchall())
    for number, body in connection.execute("SELECT number, body FROM turns WHERE run = ?", (run,)).fetchall():
        given = connection.execute("SELECT run FROM steps WHERE key = ?", (unpack(body)["reply_key"],)).fetchone()
        if given is not None and given[0] != run:
            last[given[0]] = max(number, last.get(given[0], 0))
    return last
