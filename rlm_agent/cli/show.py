"""`rlm show`: a thread's question and answer, one of its turns in full, its variables, or the value of one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption
from rlm_agent.cli.outcome import spent, status_word
from rlm_agent.cli.terminal import say, show_row
from rlm_agent.cli.terminal import show as put
from rlm_agent.cli.thread_names import look, turns_to
from rlm_agent.cli.values import Form, Wanted, give_value
from rlm_agent.cli.variables import variable_lines, why_lost
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.inspection import RunView, TurnView

__all__ = ["show"]


@reported
def show(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread id.")],
    turn: Annotated[int | None, typer.Option("--turn", "-t", help="This turn in full, numbered from 1.")] = None,
    variables: Annotated[
        bool, typer.Option("--vars", help="The variables at the end of the turn, or of the newest one.")
    ] = False,
    value: Annotated[str | None, typer.Option("--value", metavar="NAME", help="The value of one variable.")] = None,
    form: Annotated[
        Form, typer.Option("--as", help="With --value: as JSON, its str, a .npy file of an array, or its bytes.")
    ] = Form.text,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="With --value: write it to a file.")
    ] = None,
    home: HomeOption = None,
) -> int:
    """Shows the question, answer and usage of a thread, or one turn: reasoning, code, output, sub-calls, usage.

    --vars lists the variables as they were recorded; --value restores the turn in a worker and gives one of them.
    """
    from rlm_agent.store.home import default_home

    if value is None and (output is not None or form is not Form.text):
        raise ConfigError("--as and -o tell what becomes of a value: name the variable with --value NAME.")
    with default_home(home) as opened:
        view = look(opened, thread)
        if value is not None:
            return give_value(view, turn, Wanted(value, form, output))
        if variables:
            return _list_variables(view, turn)
        put(_run_text(view) if turn is None else _turn_text(_turn(view, turn)))
    return Code.ANSWERED


def _list_variables(view: "RunView", number: int | None) -> int:
    turns = turns_to(view, number)
    lines = variable_lines(turns[-1].variables, why_lost(turns)) if turns else []
    for line in lines:
        show_row(line)
    if not lines:
        say("no variables yet")
    return Code.ANSWERED


def _turn(view: "RunView", number: int) -> "TurnView":
    return turns_to(view, number)[-1]


def _run_text(view: "RunView") -> str:
    question, head = view.question, view.head
    stopped = f" ({question.stopped_by})" if question.stopped_by not in (None, "ready") else ""
    parts = [
        _section("question", str(question.message["text"])),
        _section("status", f"{status_word(view.status, view.waiting)}{stopped}"),
        _section("turns", str(0 if head is None else head.number)),
        _section("context", _context(question.context)),
        _section("answer" if view.answer.ready else "answer so far", _text(view.answer.content)),
        _section("usage", spent(view.usage)),
    ]
    return "\n".join(parts)


def _turn_text(turn: "TurnView") -> str:
    batches = [
        f"{b.calls} calls, {b.failed} failed, {b.replayed} from the record, {b.seconds:.2f} s" for b in turn.batches
    ]
    lost = [f"{v['name']} ({v['type']}): {v['why']}" for v in turn.lost]
    parts = [
        _section(f"turn {turn.number}", f"{turn.seconds:.2f} s in cells"),
        _section("reasoning", turn.reasoning),
        _section("code", turn.code),
        _section("output", turn.output),
        _section("error", turn.error or ""),
        _section("sub-calls", "\n".join(batches)),
        _section("variables that could not be saved", "\n".join(lost)),
        _section("answer" if turn.answer.ready else "answer so far", _text(turn.answer.content)),
        _section("usage", spent(turn.usage)),
    ]
    return "\n".join(part for part in parts if part)


def _section(title: str, text: str) -> str:
    """A titled block; "" where there is nothing to show."""
    return f"--- {title}\n{text.rstrip()}\n" if text.strip() else ""


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1)


def _context(context: dict[str, Any] | None) -> str:
    if context is None:
        return ""
    files = f"{context['files']} files, " if context.get("files") else ""
    return f"{context.get('name')}: {files}{context.get('chars', 0):,} characters"
