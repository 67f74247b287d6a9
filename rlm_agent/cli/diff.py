"""`rlm diff`: what differs between two threads, or two turns."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlm_agent.cli.columns import table
from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption
from rlm_agent.cli.outcome import spent
from rlm_agent.cli.terminal import counted, first_words, json_text, one_line, show, show_row
from rlm_agent.cli.thread_names import look, turns_to
from rlm_agent.cli.variables import plain_variable, shape_text, why_lost

if TYPE_CHECKING:
    from rlm_agent.cli.difference import Difference, Point
    from rlm_agent.inspection import Variable
    from rlm_agent.store.home import Home

__all__ = ["diff"]


@reported
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A thread id, at its newest turn; or THREAD@TURN.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one, or another turn of the same.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else.")] = False,
    home: HomeOption = None,
) -> int:
    """Shows what differs between two points: turns in common, code since then, variables, answers, usage.

    rlm diff THREAD@2 THREAD@5 shows three turns' work, rlm diff THREAD FORK where a fork went another way. Variables
    are compared by what was recorded of them: type, size, shape and the beginning of the value.
    """
    from rlm_agent.cli.difference import Difference
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        found = Difference(_point(opened, a), _point(opened, b))
        if as_json:
            show(json_text(_plain(found)))
        else:
            _show(found)
    return Code.ANSWERED


def _point(home: "Home", name: str) -> "Point":
    """The point of a name. A thread whose id has an @ of its own is named as it is, or with a turn behind it."""
    from rlm_agent.cli.difference import Point

    thread, at, turn = name.rpartition("@")
    if at and turn.isdecimal() and not home.runs.list(name):
        view = look(home, thread)
        return Point(name, view, turns_to(view, int(turn)) if int(turn) else [])
    view = look(home, name)
    return Point(name, view, view.turns)


def _show(found: "Difference") -> None:
    a, b = found.a, found.b
    more = f"{len(found.parted(a))} more in {one_line(a.name)}, {len(found.parted(b))} in {one_line(b.name)}"
    show(f"{counted(found.common, 'turn')} in common, {more}")
    if code := found.code:
        show("\n--- code\n" + "\n".join(code))
    if rows := _variables(found):
        show("\n--- variables")
        for line in rows:
            show_row(line)
    if a.answer != b.answer:
        show("\n--- answer")
        for sign, point in (("-", a), ("+", b)):
            state = "ready" if point.answer.ready else "not ready"
            show(f"{sign} ({state}) {first_words(_text(point.answer.content), 200)}")
    show("\n--- usage")
    for sign, point in (("-", a), ("+", b)):
        show(f"{sign} {spent(point.usage)}")


def _variables(found: "Difference") -> list[str]:
    rows = [("+", *_cells(variable)) for variable in found.added]
    rows += [("-", *_cells(variable)) for variable in found.removed]
    for before, after in found.changed:
        rows += [("-", *_cells(before)), ("+", *_cells(after))]
    return table(sorted(rows, key=lambda row: row[1]))


def _cells(variable: "Variable") -> tuple[str, str, str, str, str]:
    value = f"{'lost: ' if variable.lost else ''}{one_line(variable.preview)}"
    size = f"{variable.size_bytes:,}"
    return one_line(variable.name), one_line(variable.type), size, shape_text(variable.shape), value


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _plain(found: "Difference") -> dict[str, Any]:
    lost_a, lost_b = why_lost(found.a.turns), why_lost(found.b.turns)
    return {
        "a": _plain_point(found, found.a),
        "b": _plain_point(found, found.b),
        "common_turns": found.common,
        "code": "\n".join(found.code),
        "variables": {
            "added": [plain_variable(variable, lost_b) for variable in found.added],
            "removed": [plain_variable(variable, lost_a) for variable in found.removed],
            "changed": [
                {"a": plain_variable(before, lost_a), "b": plain_variable(after, lost_b)}
                for before, after in found.changed
            ],
        },
    }


def _plain_point(found: "Difference", point: "Point") -> dict[str, Any]:
    return {
        "thread": point.run.record.thread,
        "run": point.run.id,
        "turn": point.number,
        "parted_turns": [{"turn": turn.number, "code": turn.code} for turn in found.parted(point)],
        "answer": point.answer.content,
        "ready": point.answer.ready,
        "usage": point.usage,
    }
