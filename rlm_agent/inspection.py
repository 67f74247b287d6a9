"""Looking at recorded runs: `open_run` and `runs`. Reads the home only; no agent, model or worker is needed.

A living run can be looked at while another process works on it: turns and steps are never changed once written.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm_agent.budget import Account
from rlm_agent.errors import ConfigError
from rlm_agent.settings import Budget
from rlm_agent.store.home import Home, as_home
from rlm_agent.store.plain import unpack
from rlm_agent.store.records import BatchRecord, QuestionRecord, RunRecord, TurnRecord

__all__ = ["Answer", "RunView", "TurnView", "open_run", "runs"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer as it stands: JSON content, and whether the root called it ready."""

    content: Any
    ready: bool


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
        return _fold(self._home.ledger.turn_usage(self.record.run, self.number))

    @property
    def lost(self) -> tuple[dict[str, Any], ...]:
        """Variables that the snapshot could not hold: {"name", "type", "why"}."""
        return self.record.lost

    @property
    def answer(self) -> Answer:
        """The answer at the end of the turn."""
        answer = self.record.answer
        if "ref" in answer:
            return Answer(unpack(self._home.blobs.get(answer["ref"])), bool(answer["ready"]))
        return Answer(answer["content"], bool(answer["ready"]))


class RunView:
    """One recorded run."""

    def __init__(self, record: RunRecord, home: Home) -> None:
        self.record = record
        self.home = home

    def __repr__(self) -> str:
        return f"<run {self.id[:8]} of thread {self.record.thread!r}, {len(self.turns)} turns>"

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self.record.id

    @property
    def turns(self) -> list[TurnView]:
        """The turns that the head descends from, oldest first."""
        by_id = {turn.id: turn for turn in self.home.turns.list(self.id)}
        head, chain = self.home.turns.head(self.id), []
        while head is not None:
            chain.append(TurnView(head, self.home))
            head = None if head.parent is None else by_id.get(head.parent)
        return chain[::-1]

    @property
    def head(self) -> TurnView | None:
        """The newest turn, or None before the first."""
        head = self.home.turns.head(self.id)
        return None if head is None else TurnView(head, self.home)

    @property
    def questions(self) -> list[QuestionRecord]:
        """The inputs to the run, oldest first."""
        return self.home.runs.questions(self.id)

    @property
    def status(self) -> str:
        """Of the newest question: "open", "stopped" or "answered"."""
        return self.questions[-1].status

    @property
    def answer(self) -> Answer:
        """The newest question's answer as it stands."""
        question, head = self.questions[-1], self.head
        if head is None or head.record.question != question.number:
            return Answer("", False)
        answer = head.answer
        return Answer(answer.content, question.status == "answered")

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens and cost of the whole run: {root, sub, total, by_model, seconds}."""
        return _fold(self.home.ledger.usage(self.id), sum(q.active_seconds for q in self.questions))


def _fold(rows: Any, seconds: float = 0.0) -> dict[str, Any]:
    account = Account(Budget())
    for row in rows:
        account.add(row)
    report = account.report()
    return {**report, "seconds": round(seconds, 3)}


def open_run(
    thread: "str | Mapping[str, Any]", name: str = "rlm", home: "Home | str | os.PathLike[str] | None" = None
) -> RunView:
    """Opens the newest run of a thread.

    Args:
        thread: a thread id, or a config that has one.
        name: the agent's name.
        home: a `Home`, a path, or None for the default.

    Raises:
        ConfigError: the home holds no such run.
    """
    id_ = thread if isinstance(thread, str) else str(thread.get("configurable", {}).get("thread_id"))
    opened = as_home(home)
    found = opened.runs.newest(id_, "", name)
    if found is not None:
        return RunView(found[0], opened)
    embedded = [run for run in opened.runs.list(id_) if run.name == name]
    if not embedded:
        raise ConfigError(f"The home {opened.path} holds no run of thread {id_!r} by an agent named {name!r}.")
    return RunView(max(embedded, key=lambda run: run.created), opened)


def runs(thread: str | None = None, home: "Home | str | os.PathLike[str] | None" = None) -> list[RunView]:
    """All runs of a thread, or of the home, oldest first."""
    opened = as_home(home)
    return [RunView(run, opened) for run in sorted(opened.runs.list(thread), key=lambda run: run.created)]
