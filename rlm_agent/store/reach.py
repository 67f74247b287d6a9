"""What a run can reach: its own rows, and those of the runs it was forked from, up to the turn at which it left each.

A fork stands where its origin stood: what was spent and said until then is its own past. SQL only; whose rows they are
is the business of the modules that use it.
"""

from sqlite3 import Connection

__all__ = ["REACH", "reach"]

REACH = """
    WITH RECURSIVE reach (run, until) AS (
        SELECT ?, NULL
        UNION ALL
        SELECT r.forked_from, MIN(r.forked_at, IFNULL(reach.until, r.forked_at))
        FROM reach JOIN runs r ON r.id = reach.run WHERE r.forked_from IS NOT NULL)"""
"""Begins a query with the table `reach (run, until)`; takes the run's id. `until` is NULL for the run itself."""


def reach(connection: Connection, run: str) -> list[str]:
    """The ids of a run and of those that it descends from, the nearest one first."""
    return [row[0] for row in connection.execute(f"{REACH} SELECT run FROM reach", (run,))]
