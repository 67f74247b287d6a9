"""What the root reads of a turn: output, traceback, time, lost variables, answer and budget. Pure text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_agent.root.window import cut_middle
from rlm_agent.store.records import BatchRecord, CellRecord

__all__ = ["Outcome", "observe", "whole_output"]

WHERE = 'history[-1]["output"]'


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that the cells of one turn did, before it is a record."""

    number: int
    cells: Sequence[CellRecord]
    outputs: Sequence[str]
    blocks: int
    batches: Sequence[BatchRecord]
    answer: Mapping[str, Any]
    lost: Sequence[Mapping[str, Any]]
    cut: bool = False

    @property
    def error(self) -> str | None:
        """The error that ended the turn, if one did."""
        return self.cells[-1].error if self.cells else None

    @property
    def seconds(self) -> float:
        """Running time of all cells."""
        return sum(cell.seconds for cell in self.cells)


def whole_output(outcome: Outcome) -> str:
    """Everything the cells printed, and the traceback of the one that failed."""
    parts = [text for text in outcome.outputs if text]
    if outcome.error:
        parts.append(outcome.error)
    return "\n".join(part.rstrip("\n") for part in parts)


def observe(outcome: Outcome, output_chars: int, left: str, late: Sequence[Mapping[str, Any]] = ()) -> str:
    """The turn as the root reads it, its output cut in the middle to `output_chars` characters.

    Args:
        late: variables lost a turn earlier, of which the root has not heard yet.
    """
    text = whole_output(outcome) or "(no output)"
    lines = [cut_middle(text, output_chars, WHERE), "", _summary(outcome)]
    lines += [_lost_line(lost, "was lost a turn ago") for lost in late]
    lines += [_lost_line(lost, "is lost") for lost in outcome.lost]
    if len(outcome.cells) < outcome.blocks:
        lines.append(f"Block {len(outcome.cells)} of {outcome.blocks} failed; the blocks after it did not run.")
    if outcome.cut:
        lines.append("Your reply was cut off at the token limit of a reply; a block that was not complete did not run.")
    lines.append(_answer_line(outcome.answer))
    lines.append(f"Left: {left}.")
    return "\n".join(lines)


def _lost_line(lost: Mapping[str, Any], how: str) -> str:
    what = f"File {lost['name']!r}" if lost["type"] == "file" else f"Variable {lost['name']!r} ({lost['type']})"
    return f"{what} {how}: {lost['why']}"


def _summary(outcome: Outcome) -> str:
    text = f"[turn {outcome.number}, {outcome.seconds:.1f} s"
    calls, failed = sum(b.calls for b in outcome.batches), sum(b.failed for b in outcome.batches)
    if calls:
        text += f", {calls} sub-calls" + (f" ({failed} failed)" if failed else "")
    return text + (", failed]" if outcome.error else "]")


def _answer_line(answer: Mapping[str, Any]) -> str:
    content = answer.get("content", "")
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return f"answer: {len(text)} characters, ready {bool(answer.get('ready'))}"
