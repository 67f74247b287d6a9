"""The story of a run as events (contract, section 11), told again from its records: finished, living or killed alike.

What was only streamed, and not recorded, is not in it: progress inside a batch, the output of each single block.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rlm_agent.events import EVENT_VERSION, EventType
from rlm_agent.root.replies import parsed
from rlm_agent.settings import Limits
from rlm_agent.store.home import Home
from rlm_agent.store.plain import unpack
from rlm_agent.store.records import QuestionRecord, RunRecord, StepRecord, TurnRecord

__all__ = ["story"]

_PREVIEW = 500


def story(home: Home, run: RunRecord, chain: Sequence[TurnRecord]) -> list[dict[str, Any]]:
    """All events, oldest first, numbered from 1.

    Args:
        home: where the run lives.
        run: the run.
        chain: its turns, the first one first.
    """
    replies = home.ledger.get_many([turn.reply_key for turn in chain])
    head = chain[-1].number if chain else 0
    recorded = {turn.reply_key for turn in home.turns.list(run.id, after=head)}
    begun = [reply for reply in home.ledger.replies(run.id, head) if reply.key not in recorded]
    told, current = _Story(run.id), home.runs.question(run.id).number
    numbers = {current, *(turn.question for turn in chain)}
    for question in (question for question in home.runs.questions(run.id) if question.number in numbers):
        told.question_began(question, run.thread)
        for turn in chain:
            if turn.question == question.number:
                told.turn(turn, replies.get(turn.reply_key), home)
        for reply in begun:
            if reply.question == question.number:
                told.turn_began(reply)
        told.question_ended(question)
    return told.events


class _Story:
    """Collects events; each has the time of the record that it is told from."""

    def __init__(self, run: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._run, self._turn, self._last = run, 0, 0.0

    def question_began(self, question: QuestionRecord, thread: str | None) -> None:
        self._add("run.started", question.created, thread=thread, question=question.number)

    def question_ended(self, question: QuestionRecord) -> None:
        if question.status != "open":
            ready = question.status == "answered"
            self._add("run.finished", self._last, stopped_by=question.stopped_by, ready=ready)

    def turn_began(self, reply: StepRecord) -> None:
        """A reply that no recorded turn came of yet: its code may be running."""
        code = "\n\n".join(parsed(reply).blocks)
        if code:
            self._turn = reply.turn
            self._add("turn.started", reply.at - reply.seconds)
            self._add("code", reply.at, code=code)

    def turn(self, turn: TurnRecord, reply: StepRecord | None, home: Home) -> None:
        self._turn = turn.number
        replied = turn.at if reply is None else reply.at
        self._add("turn.started", replied if reply is None else replied - reply.seconds)
        self._add("code", replied, code=turn.code)
        for batch in turn.batches:
            numbers = {"calls": batch.calls, "failed": batch.failed, "replayed": batch.replayed}
            self._add("batch.finished", turn.at, **numbers)
        for text, error, seconds in _cells(turn, home):
            self._add("cell.output", turn.at, text=text, error=error)
            self._add("cell.finished", turn.at, seconds=seconds, ok=error is None)
        if turn.lost:
            self._add("variables.lost", turn.at, variables=[dict(entry) for entry in turn.lost])
        self._add("answer.updated", turn.at, ready=bool(turn.answer["ready"]), content=_preview(turn.answer, home))

    def _add(self, type_: EventType, at: float, **data: Any) -> None:
        self._last = at
        stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        head = {"type": type_, "version": EVENT_VERSION, "seq": len(self.events) + 1, "run": self._run}
        self.events.append({**head, "turn": self._turn, "depth": 0, "at": stamp, **data})


def _cells(turn: TurnRecord, home: Home) -> Iterator[tuple[str, str | None, float]]:
    """Output, error and seconds of each block; the output of all is told with the last one."""
    output = turn.output
    if turn.output_ref is not None:
        output = home.blobs.get(turn.output_ref).decode("utf-8", "replace")
    for number, cell in enumerate(turn.cells, 1):
        text = output[: Limits().output_chars] if number == len(turn.cells) else ""
        yield text, cell.error, cell.seconds


def _preview(answer: Mapping[str, Any], home: Home) -> str:
    content = unpack(home.blobs.get(answer["ref"])) if "ref" in answer else answer["content"]
    return (content if isinstance(content, str) else repr(content))[:_PREVIEW]
