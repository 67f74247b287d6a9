"""Notes: what a person tells a run while it works; the root reads them at its next turn.

Invariant: a note is never changed; the turn that reads it is set once. A fork has those that its origin had read by
then, and adopts those that it reads again under the origin's later turns.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from sqlite3 import Connection

from rlm_agent.crash_points import reach
from rlm_agent.store.database import Database
from rlm_agent.store.reach import REACH
from rlm_agent.store.writer import Op

__all__ = ["Note", "Notes", "insert_note"]


_COLUMNS = "n.id, n.run, n.text, n.at, n.turn"
_REACHED = f"""{REACH}
    SELECT {_COLUMNS} FROM reach JOIN notes n ON n.run = reach.run WHERE reach.until IS NULL OR n.turn <= reach.until
    UNION
    SELECT {_COLUMNS} FROM reach JOIN adopted_notes a ON a.run = reach.run JOIN notes n ON n.id = a.note
    WHERE reach.until IS NULL OR n.turn <= reach.until
    ORDER BY 1"""
_INSERT = """
    INSERT OR IGNORE INTO notes (id, run, text, message_id, at)
    VALUES (MAX(?, IFNULL((SELECT MAX(id) + 1 FROM notes), 0)), ?, ?, ?, ?)"""
_UNREAD = f"SELECT {_COLUMNS} FROM notes n WHERE n.run = ? AND n.turn IS NULL ORDER BY n.id"


def insert_note(connection: Connection, run: str, text: str, message_id: str | None = None) -> None:
    """Inserts a note. Ledger keys name notes by their ids.

    An id is the time in microseconds, so that it meets no other one in the home that the run is carried to.
    """
    now = time.time()
    connection.execute(_INSERT, (int(now * 1e6), run, text, message_id, now))


@dataclass(frozen=True, slots=True)
class Note:
    """One note. `turn` is the number of the turn that reads it, None until one does."""

    id: int
    run: str
    text: str
    at: float
    turn: int | None


_NoteList = list[Note]  # `list` is a method below


class Notes:
    """The notes of one home."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, run: str, text: str, message_id: str | None = None) -> int:
        """Records a note and returns its id. The same message of a run is one note, however often it is sent."""

        def op(connection: Connection) -> int:
            insert_note(connection, run, text, message_id)
            query = "SELECT MAX(id) FROM notes WHERE run = ? AND message_id IS ?"
            id: int = connection.execute(query, (run, message_id)).fetchone()[0]
            return id

        reach("note.before")
        id = await self._database.commit(op)
        reach("note.written")
        return id

    def list(self, run: str) -> _NoteList:
        """All notes of a run, the first one first."""
        return self._select(_REACHED, run)

    def unread(self, run: str) -> _NoteList:
        """The run's own notes that no turn has read yet, the first one first."""
        return self._select(_UNREAD, run)

    def mark_op(self, run: str, ids: Iterable[int], turn: int) -> Op[None]:
        """Marks notes as read by a turn: those that another turn read stay with that, other runs' are adopted."""
        rows = [(turn, run, id) for id in ids]
        adopt = "INSERT OR IGNORE INTO adopted_notes SELECT ?, id FROM notes WHERE id = ? AND run != ?"

        def op(connection: Connection) -> None:
            connection.executemany("UPDATE notes SET turn = ? WHERE run = ? AND id = ? AND turn IS NULL", rows)
            connection.executemany(adopt, [(run, id, run) for _, _, id in rows])

        return op

    def _select(self, query: str, run: str) -> _NoteList:
        with self._database.reading() as connection:
            return [Note(*row) for row in connection.execute(query, (run,))]
