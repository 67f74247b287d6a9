"""The fence: a write says under which lease it is made, and is refused once another owner has taken the run over.

Invariant: tokens of one run only grow, so an old owner can never pass again. A lease that merely ran out, or was
given back, and that nobody took since, still passes: what was paid for is better recorded than lost.
"""

import sqlite3
from dataclasses import dataclass

from rlm_agent.errors import LeaseLost

__all__ = ["Fence", "check_fence"]


@dataclass(frozen=True, slots=True)
class Fence:
    """The lease under which a write is made: the run and the token that its owner was given."""

    run: str
    token: int


def check_fence(connection: sqlite3.Connection, fence: Fence) -> None:
    """Raises LeaseLost unless the run's lease still has the fence's token."""
    row = connection.execute("SELECT token FROM leases WHERE run = ?", (fence.run,)).fetchone()
    if row is None or row[0] != fence.token:
        raise LeaseLost(
            f"Run {fence.run}: another owner took the run over while this one was not heard of for too long; "
            "nothing more is written here. Resume the run to go on from what is recorded."
        )
