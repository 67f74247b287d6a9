"""Extensions: bounds of a question that were raised after it was asked.

Invariant: an extension is added, never changed or taken back. What bounds there are and what they mean is not known
here.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from sqlite3 import Connection

from rlm_agent.store.database import Database

__all__ = ["Extension", "Extensions"]


@dataclass(frozen=True, slots=True)
class Extension:
    """One bound raised once: its name, by how much, when."""

    bound: str
    amount: float
    at: float


_ExtensionList = list[Extension]  # `list` is a method below


class Extensions:
    """The extensions of one home."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, run: str, question: int, amounts: Mapping[str, float]) -> None:
        """Raises bounds of a question: name -> by how much."""
        at = time.time()
        rows = [(run, question, bound, amount, at) for bound, amount in amounts.items()]

        def op(connection: Connection) -> None:
            connection.executemany("INSERT INTO extensions VALUES (?, ?, ?, ?, ?)", rows)

        await self._database.commit(op)

    def list(self, run: str, question: int) -> _ExtensionList:
        """All extensions of a question, the first one first."""
        query = "SELECT bound, amount, at FROM extensions WHERE run = ? AND question = ? ORDER BY rowid"
        with self._database.reading() as connection:
            return [Extension(*row) for row in connection.execute(query, (run, question))]
