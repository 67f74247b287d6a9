"""Which turns stay retained, their variables with them: all of them, until somebody wants fewer.

Invariant: only rows of `refs` go; turns, steps and answers stay, so a run reads on as before. What a fork stands at or
shares is kept, and so is whatever the entries that work now may go back to: no turn counts that is newer than they.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sqlite3 import Connection

__all__ = ["give_up", "given_up"]


@dataclass(frozen=True, slots=True)
class _Chains:
    """The turns of the home as a forest: parents, and whose each is."""

    parents: Mapping[str, str | None]
    runs: Mapping[str, str]
    times: Mapping[str, float]

    def up(self, head: str | None) -> Iterator[str]:
        """A turn and all it descends from, the newest first."""
        while head is not None and head in self.runs:
            yield head
            head = self.parents[head]


def give_up(connection: Connection, newest: int, before: float) -> set[str]:
    """Gives up what `given_up` names, and returns it."""
    turns = given_up(connection, newest, before)
    connection.executemany("DELETE FROM refs WHERE turn = ?", [(turn,) for turn in turns])
    return turns


def given_up(connection: Connection, newest: int, before: float) -> set[str]:
    """The retained turns but for the newest of each run, counted from its head.

    Args:
        connection: to read from.
        newest: how many turns a run keeps, 1 at least.
        before: turns made from then on stay, and are not counted; seconds since the epoch.
    """
    chains, kept = _chains(connection), set[str]()
    for run, head in connection.execute("SELECT id, head FROM runs"):
        counted = 0
        for turn in chains.up(head):
            if counted < newest or chains.runs[turn] != run:
                kept.add(turn)
            counted += chains.times.get(turn, 0.0) < before
    return {turn for (turn,) in connection.execute("SELECT DISTINCT turn FROM refs")} - kept


def _chains(connection: Connection) -> _Chains:
    turns = connection.execute("SELECT id, parent, run FROM turns").fetchall()
    times = "SELECT f.turn, f.at FROM refs f JOIN turns t ON t.id = f.turn AND t.run = f.run"
    return _Chains(
        {id: parent for id, parent, _ in turns},
        {id: run for id, _, run in turns},
        dict(connection.execute(times).fetchall()),
    )
