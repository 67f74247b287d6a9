"""The records that `stream_mode="custom"` and `--jsonl` carry (contract, section 11).

One `Events` an entry numbers them; where they go is the writer's business.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

__all__ = ["EVENT_VERSION", "EventType", "Events"]

EVENT_VERSION = 1

EventType = Literal[
    "run.started",
    "turn.started",
    "code",
    "cell.output",
    "batch.started",
    "sub_agent.finished",
    "batch.finished",
    "cell.finished",
    "variables.lost",
    "answer.updated",
    "waiting",
    "budget.low",
    "run.finished",
]


class Events:
    """Numbers and stamps the events of one entry into a run."""

    def __init__(self, run: str, depth: int = 0) -> None:
        self.run = run
        self.depth = depth
        self.turn = 0
        self._seq = 0

    def emit(self, write: Callable[[Any], None], type_: EventType, **data: Any) -> None:
        """Writes one event: {"type", "version", "seq", "run", "turn", "depth", "at", ...}; `at` is UTC, ISO 8601."""
        self._seq += 1
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        head = {"type": type_, "version": EVENT_VERSION, "seq": self._seq, "run": self.run}
        write({**head, "turn": self.turn, "depth": self.depth, "at": stamp, **data})
