"""One recorded turn, as a person looks at it. Reads the home only."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rlm_agent.budget import Account
from rlm_agent.settings import Budget
from rlm_agent.store.home import Home
from rlm_agent.store.ledger import UsageRow
from rlm_agent.store.plain import unpack
from rlm_agent.store.records import BatchRecord, TurnRecord

__all__ = ["Answer", "TurnView", "Variable", "folded", "variables_of"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer as it stands: JSON content, and whether the root called it ready."""

    content: Any
    ready: bool


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable at the end of a turn. `lost`: the snapshot could not hold it, or something in it."""

    name: str
    type: str
    size_bytes: int
    shape: tuple[int, ...] | None
    preview: str
    lost: bool


class TurnView:
    """One recorded turn."""

    def __init__(self, record: TurnRecord, home: Home) -> None:
        self.record = record
        self._home = home

    def __repr__(self) -> str:
        return f"<turn {self.number} of run {self.record.run[:8]}: {self.code.strip()[:60]!r}>"

    @property
    def number(self) -> int:
        """From 1, through the run."""
        return self.record.number

    @property
    def reasoning(self) -> str:
        """The reply's text outside its code."""
        return self.record.reasoning

    @property
    def code(self) -> str:
        """All blocks, joined."""
        return self.record.code

    @property
    def output(self) -> str:
        """Everything the cells printed, in full."""
        if self.record.output_ref is None:
            return self.record.output
        return self._home.blobs.get(self.record.output_ref).decode("utf-8", "replace")

    @property
    def error(self) -> str | None:
        """The traceback that ended the turn, or None."""
        return self.record.error

    @property
    def seconds(self) -> float:
        """Running time of the cells, not waiting for sub-agents."""
        return self.record.seconds

    @property
    def batches(self) -> tuple[BatchRecord, ...]:
        """The sub-calls of the turn, wave by wave."""
        return self.record.batches

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens and cost of the turn, from the ledger."""
        return folded(self._home.ledger.turn_usage(self.record.run, self.number))

    @property
    def lost(self) -> tuple[dict[str, Any], ...]:
        """Variables that the snapshot could not hold: {"name", "type", "why"}."""
        return self.record.lost

    @property
    def variables(self) -> list[Variable]:
        """The variables at the end of the turn."""
        return variables_of(self.record)

    @property
    def answer(self) -> Answer:
        """The answer at the end of the turn."""
        answer = self.record.answer
        if "ref" in answer:
            return Answer(unpack(self._home.blobs.get(answer["ref"])), bool(answer["ready"]))
        return Answer(answer["content"], bool(answer["ready"]))


def folded(rows: Iterable[UsageRow], seconds: float = 0.0) -> dict[str, Any]:
    """Rows of the ledger as the report of the contract, section 9."""
    account = Account(Budget())
    for row in rows:
        account.add(row)
    report = account.report()
    return {**report, "seconds": round(seconds, 3)}


def variables_of(turn: TurnRecord | None) -> list[Variable]:
    """The variables at the end of a turn; none before the first."""
    return [
        Variable(
            name=entry["name"],
            type=entry["type"],
            size_bytes=entry["size_bytes"],
            shape=None if entry["shape"] is None else tuple(entry["shape"]),
            preview=entry["preview"],
            lost=entry["lost"],
        )
        for entry in (() if turn is None else turn.variables)
    ]
