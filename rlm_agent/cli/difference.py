"""What differs between two points, each a turn of a run: turns, code, variables, answer, usage. Reads the home only.

Variables are compared as they were recorded, by type, shape, preview and size: a change that none of these tells is not
seen. Sizes are estimates, and those of a restored container are a little different: a tenth more or less is no change.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from typing import Any

from rlm_agent.inspection import Answer, RunView, TurnView, Variable
from rlm_agent.recorded.turn_view import folded

__all__ = ["Difference", "Point"]


@dataclass(frozen=True)
class Point:
    """A turn of a run.

    Attributes:
        name: as the user named it.
        run: the run.
        turns: its turns up to this one; none: before the first.
    """

    name: str
    run: RunView
    turns: Sequence[TurnView]

    @property
    def number(self) -> int:
        """Of the turn; 0 before the first."""
        return self.turns[-1].number if self.turns else 0

    @property
    def answer(self) -> Answer:
        """The answer as it stood."""
        return self.turns[-1].answer if self.turns else Answer("", False)

    @property
    def variables(self) -> dict[str, Variable]:
        """The variables, by name."""
        return {variable.name: variable for variable in self.turns[-1].variables} if self.turns else {}

    @property
    def usage(self) -> dict[str, Any]:
        """What its turns have used, cells' time included."""
        ledger = self.run.home.ledger
        rows = chain.from_iterable(ledger.turn_usage(turn.record.run, turn.number) for turn in self.turns)
        return folded(rows, sum(turn.seconds for turn in self.turns))


class Difference:
    """From one point to another.

    Attributes:
        a, b: the points.
        common: how many turns both share.
        added, removed: variables that only `b`, or only `a`, has.
        changed: those that both have, listed differently.
    """

    def __init__(self, a: Point, b: Point) -> None:
        self.a, self.b = a, b
        same = takewhile(lambda pair: pair[0].record.id == pair[1].record.id, zip(a.turns, b.turns, strict=False))
        self.common = len(list(same))
        before, after = a.variables, b.variables
        self.added = [variable for name, variable in after.items() if name not in before]
        self.removed = [variable for name, variable in before.items() if name not in after]
        both = [(before[name], after[name]) for name in before if name in after]
        self.changed = [pair for pair in both if _differ(*pair)]

    def parted(self, point: Point) -> Sequence[TurnView]:
        """The turns of a point that the other does not share."""
        return point.turns[self.common :]

    @property
    def code(self) -> list[str]:
        """The code of these turns as the lines of a unified diff."""
        before, after = _code(self.parted(self.a)), _code(self.parted(self.b))
        return list(difflib.unified_diff(before, after, self.a.name, self.b.name, lineterm=""))


def _differ(a: Variable, b: Variable) -> bool:
    sizes_differ = abs(a.size_bytes - b.size_bytes) > max(a.size_bytes, b.size_bytes) / 10
    return sizes_differ or replace(a, size_bytes=b.size_bytes) != b


def _code(turns: Sequence[TurnView]) -> list[str]:
    def lines() -> Iterator[str]:
        for turn in turns:
            yield f"# turn {turn.number}"
            yield from turn.code.rstrip().splitlines()

    return list(lines())
