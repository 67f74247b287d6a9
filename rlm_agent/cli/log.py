"""`rlm log`: the newest runs of the home, or the turns of one."""

from typing import TYPE_CHECKING, Annotated

import typer

from rlm_agent.cli.columns import padded, table
from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption, LastOption
from rlm_agent.cli.outcome import status_word
from rlm_agent.cli.terminal import counted, first_words, one_line, say, show_row
from rlm_agent.cli.thread_names import last_thread, look

if TYPE_CHECKING:
    from rlm_agent.inspection import RunView, TurnView
    from rlm_agent.store.home import Home

__all__ = ["log"]


@reported
def log(
    thread: Annotated[str | None, typer.Argument(help="Only this thread, a line for each of its turns.")] = None,
    last: LastOption = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many runs, or turns, at most.")] = 20,
    home: HomeOption = None,
) -> int:
    """Lists the newest runs, the newest one first; or the turns of one thread."""
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        if thread is None and not last:
            return _list_runs(opened, limit)
        view = look(opened, thread if thread is not None else last_thread(opened))
        for turn in view.turns[-limit:]:
            show_row(_turn_line(turn))
        if view.head is None:
            say(f"no turn yet ({status_word(view.status, view.waiting)})")
    return Code.ANSWERED


def _list_runs(home: "Home", limit: int) -> int:
    from rlm_agent.inspection import runs

    newest = runs(home=home)[: -limit - 1 : -1]
    for line in table([_run_cells(view) for view in newest]):
        show_row(line)
    if not newest:
        say(f"the home {home.path} holds no run yet")
    return Code.ANSWERED


def _run_cells(view: "RunView") -> list[str]:
    head, question = view.head, view.question
    thread = view.record.thread or f"(run {view.id[:12]})"
    place = f" [{one_line(view.record.path)}]" if view.record.path else ""
    turns = 0 if head is None else head.number
    words = first_words(str(question.message["text"]), 60)
    return [
        padded(one_line(thread), 12),
        status_word(view.status, view.waiting),
        f"{counted(turns, 'turn'):>9}",
        f"{words}{place}",
    ]


def _turn_line(turn: "TurnView") -> str:
    calls = sum(batch.calls for batch in turn.batches)
    code = next((line for line in turn.code.splitlines() if line.strip()), "")
    error = (turn.error or "").strip().splitlines()
    what = f"failed: {first_words(error[-1], 80)}" if error else first_words(code, 80)
    return f"{turn.number:>4}  {turn.seconds:>7.2f} s  {counted(calls, 'sub-call'):>15}  {what}"
