"""Removing runs: every row of theirs, but for what runs that were forked from them need.

Invariant: a fork has after a removal all that it had before: the turns that it descends from, with their variables and
questions, the ledger and the notes of its origin up to the turn that it left, or, where later turns took recorded
replies, up to those. What is left of a removed run is nobody's to list or enter, and goes with the last of its forks.
Blobs and corpora are `sweep.py`'s, leases `leases.py`'s.
"""

from collections.abc import Collection, Iterable
from sqlite3 import Connection

from rlm_agent.store.plain import unpack
from rlm_agent.store.reach import family, origins
from rlm_agent.store.writer import Op

__all__ = ["remove_op"]

_NEEDED = """
    WITH RECURSIVE needed (id) AS (
        SELECT id FROM turns WHERE run IN (SELECT id FROM runs WHERE NOT removed)
        UNION SELECT head FROM runs WHERE NOT removed AND head IS NOT NULL
        UNION SELECT turn FROM refs WHERE run IN (SELECT id FROM runs WHERE NOT removed)
        UNION SELECT t.parent FROM needed JOIN turns t ON t.id = needed.id WHERE t.parent IS NOT NULL)
    SELECT id FROM needed"""
_NOT_ADOPTED = "id NOT IN (SELECT note FROM adopted_notes)"
_ALL = ("turns", "refs", "steps", "adopted_notes", "questions")


def remove_op(runs: Collection[str]) -> Op[None]:
    """Removes runs by their ids, and their children with them."""

    def op(connection: Connection) -> None:
        ids = [(id,) for run in runs for id in family(connection, run)]
        gone = "UPDATE runs SET removed = 1, thread = NULL, head = NULL, question = NULL WHERE id = ?"
        connection.executemany(gone, ids)
        connection.executemany("UPDATE questions SET find_key = NULL, result = NULL WHERE run = ?", ids)
        connection.executemany("DELETE FROM extensions WHERE run = ?", ids)
        _cut_remains(connection)

    return op


def _cut_remains(connection: Connection) -> None:
    """Drops of all removed runs what no other run needs by now."""
    needed = {id for (id,) in connection.execute(_NEEDED)}
    last = _last_turns(connection, needed)
    for (run,) in connection.execute("SELECT id FROM runs WHERE removed").fetchall():
        if run in last:
            _cut_turns(connection, run, needed)
            _cut_rest(connection, run, last[run])
        else:
            _cut_turns(connection, run, set())
            _drop(connection, run)


def _last_turns(connection: Connection, needed: Collection[str]) -> dict[str, int]:
    """The last turn of each run that a run which is not removed needs the record of; of others nothing is needed."""
    last: dict[str, int] = {}

    def need(found: Iterable[tuple[str, int]]) -> None:
        for run, number in found:
            last[run] = max(number, last.get(run, 0))

    forks = connection.execute("SELECT id FROM runs WHERE NOT removed AND forked_from IS NOT NULL").fetchall()
    for (fork,) in forks:
        need(origins(connection, fork).items())
    need((run, number) for id, run, number in connection.execute("SELECT id, run, number FROM turns") if id in needed)
    return last


def _cut_turns(connection: Connection, run: str, needed: Collection[str]) -> None:
    turns = [(id,) for (id,) in connection.execute("SELECT id FROM turns WHERE run = ?", (run,)) if id not in needed]
    connection.executemany("DELETE FROM snapshots WHERE turn = ?", turns)
    connection.executemany("DELETE FROM refs WHERE turn = ?", turns)
    connection.executemany("DELETE FROM turns WHERE id = ?", turns)


def _cut_rest(connection: Connection, run: str, last: int) -> None:
    """Leaves steps and notes up to a turn, and the questions that the turns left answer."""
    connection.execute("DELETE FROM steps WHERE run = ? AND turn > ?", (run, last))
    connection.execute(f"DELETE FROM notes WHERE run = ? AND IFNULL(turn > ?, 1) AND {_NOT_ADOPTED}", (run, last))
    newest = "SELECT body FROM turns WHERE run = ? ORDER BY number DESC LIMIT 1"
    body = connection.execute(newest, (run,)).fetchone()
    question = 0 if body is None else unpack(body[0])["question"]
    connection.execute("DELETE FROM questions WHERE run = ? AND number > ?", (run, question))


def _drop(connection: Connection, run: str) -> None:
    for table in _ALL:
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
    connection.execute(f"DELETE FROM notes WHERE run = ? AND {_NOT_ADOPTED}", (run,))
    connection.execute("DELETE FROM runs WHERE id = ?", (run,))
