"""Variables of a turn, as they were listed when it ended: no worker is started."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlm_agent.cli.columns import table, terminal_columns
from rlm_agent.cli.terminal import clean, one_line

if TYPE_CHECKING:
    from rlm_agent.recorded.turn_view import TurnView, Variable

__all__ = ["plain_variable", "relaid", "shape_text", "variable_lines", "why_lost"]


def why_lost(turns: "Sequence[TurnView]") -> dict[str, str]:
    """Why variables could not be saved, by their names, as of the last of these turns."""
    return {str(lost["name"]): str(lost["why"]) for turn in turns for lost in turn.lost}


def variable_lines(variables: "Sequence[Variable]", why: Mapping[str, str]) -> list[str]:
    """A line for each: name, type, bytes, shape and a preview, or why it is lost."""
    rows = [("name", "type", "bytes", "shape", "value")]
    for variable in variables:
        value = one_line(variable.preview)
        if variable.lost:
            value = f"lost: {one_line(why.get(variable.name, 'it could not be saved'))}"
        size = f"{variable.size_bytes:,}"
        rows.append((one_line(variable.name), one_line(variable.type), size, shape_text(variable.shape), value))
    return table(rows, _widest()) if len(rows) > 1 else []


def relaid(listing: str) -> list[str]:
    """The lines of what `show_vars()` printed, in columns of this terminal; other text as it is."""
    lines = clean(listing).splitlines()
    titles = ("name", "type", "bytes", "value")
    starts = [lines[0].find(title) for title in titles] if lines else []
    if not starts or starts != sorted(starts) or starts[0] != 0:
        return lines
    ends = [*starts[1:], None]
    return table([[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines], _widest())


def _widest() -> int:
    """Columns of a cell at most, so that a narrow terminal shows of each value a little."""
    return min(40, terminal_columns() // 4) if sys.stdout.isatty() else 40


def shape_text(shape: tuple[int, ...] | None) -> str:
    """A shape as people write it: 2x3; "" where there is none."""
    return "" if shape is None else "x".join(map(str, shape)) or "scalar"


def plain_variable(variable: "Variable", why: Mapping[str, str]) -> dict[str, Any]:
    """A variable for JSON; `why` tells of a lost one why that is."""
    return {
        "name": variable.name,
        "type": variable.type,
        "size_bytes": variable.size_bytes,
        "shape": None if variable.shape is None else list(variable.shape),
        "preview": variable.preview,
        "lost": variable.lost,
        "why": why.get(variable.name) if variable.lost else None,
    }
