"""`rlm threads`: the threads of the home, a line each; what each was asked last and how that stands."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlm_agent.cli.columns import padded, table
from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption
from rlm_agent.cli.outcome import status_word
from rlm_agent.cli.terminal import counted, first_words, json_text, one_line, say, show, show_row

if TYPE_CHECKING:
    from rlm_agent.inspection import RunView
    from rlm_agent.store.home import Home

__all__ = ["threads"]


@reported
def threads(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout and nothing else.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many threads at most.")] = 20,
    home: HomeOption = None,
) -> int:
    """Lists the threads, the one asked last first: id, status, questions, turns, time (UTC) and the newest question."""
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        rows = _rows(opened)[:limit]
        if as_json:
            show(json_text(rows))
        for line in () if as_json else table([_cells(row) for row in rows]):
            show_row(line)
        if not rows and not as_json:
            say(f"the home {opened.path} holds no thread yet: start one with rlm run")
    return Code.ANSWERED


def _rows(home: "Home") -> list[dict[str, Any]]:
    from rlm_agent.inspection import runs

    by_thread: dict[str, list[RunView]] = {}
    for run in runs(home=home):
        if run.record.thread is not None:
            by_thread.setdefault(run.record.thread, []).append(run)
    rows = [_row(thread, _shown(found)) for thread, found in by_thread.items()]
    return sorted(rows, key=lambda row: str(row["asked"]), reverse=True)


def _shown(found: "Iterable[RunView]") -> "RunView":
    """The run that stands for its thread: the newest that can be entered from here, else the newest of all."""
    return max(found, key=lambda run: (not run.record.path, run.record.created))


def _row(thread: str, view: "RunView") -> dict[str, Any]:
    questions, head = view.questions, view.head
    newest = view.question
    return {
        "thread": thread,
        "run": view.id,
        "status": newest.status,
        "stopped_by": newest.stopped_by,
        "waiting": len(view.waiting),
        "questions": len(questions),
        "turns": 0 if head is None else head.number,
        "question": str(newest.message["text"]),
        "context": None if newest.context is None else newest.context.get("name"),
        "asked": datetime.fromtimestamp(newest.created, UTC).isoformat(timespec="milliseconds"),
        "embedded": bool(view.record.path),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    place = " (embedded)" if row["embedded"] else ""
    thread = padded(one_line(row["thread"]), 12)
    counts = [f"{counted(row['questions'], 'question'):>11}", f"{counted(row['turns'], 'turn'):>9}"]
    when = row["asked"][:16].replace("T", " ")
    status = padded(status_word(row["status"], row["waiting"]), 10)
    return [thread, status, *counts, when, f"{first_words(row['question'], 60)}{place}"]
