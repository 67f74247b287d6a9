"""Enters a prepared agent on its thread and follows it to its end, or to the user's Ctrl-C."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from rlm_agent.cli.agents import Prepared
from rlm_agent.cli.exits import Code
from rlm_agent.cli.interrupts import second_ctrl_c_ends
from rlm_agent.cli.json_lines import JsonLines
from rlm_agent.cli.outcome import View, give, resume_command
from rlm_agent.cli.progress import progress
from rlm_agent.cli.spending import Spending
from rlm_agent.cli.starts import AGENT, save_start
from rlm_agent.cli.terminal import say_below
from rlm_agent.cli.waiting import give_waiting
from rlm_agent.entries.entry import REBUILD_KEY
from rlm_agent.errors import RLMError

if TYPE_CHECKING:
    from langgraph.types import Command, Interrupt

    from rlm_agent.store.home import Home

__all__ = ["enter"]

Given: TypeAlias = "Mapping[str, Any] | Command[Any] | None"
Ended: TypeAlias = "tuple[Mapping[str, Any], Sequence[Interrupt]]"


def enter(home: "Home", prepared: Prepared, given: Given, view: View, *, rebuild: bool = False) -> int:
    """Runs the agent, shows its progress, prints its result.

    Args:
        home: where the run lives.
        prepared: the agent and its thread.
        given: the input, None to resume, or a person's answers.
        view: how to show it.
        rebuild: make snapshots again that cannot be restored.

    Returns:
        The exit code. Interrupted, all that was paid for is recorded, and the command that goes on is printed; at a
        second Ctrl-C the process ends at once.
    """
    thread = prepared.start.thread
    prepared.announce(home, view)
    lines = JsonLines(thread)
    farewell = f"stopped at once; what was paid for is recorded. Go on: {resume_command(thread, view)}"
    try:
        with second_ctrl_c_ends(farewell):
            out, waiting = _shown(home, prepared, given, view, lines, rebuild)
    except KeyboardInterrupt:
        return _interrupted(home, thread, view)
    if waiting:
        return give_waiting(home, thread, waiting, view)
    if view.as_jsonl:
        lines.end(out["rlm"])
    return give(thread, str(out["messages"][-1].text), out["rlm"], view)


def _shown(home: "Home", prepared: Prepared, given: Given, view: View, lines: JsonLines, rebuild: bool) -> Ended:
    """Follows the agent; each event is recorded, printed and drawn, as far as the view wants that."""
    spending = Spending(home, prepared.start.budget)
    with progress(view, spending) as show:

        def on_event(event: Any) -> None:
            if event["type"] == "run.started":
                save_start(home, prepared.start)  # the thread is ours now, and nothing is paid yet
            spending.on_event(event)
            if view.as_jsonl:
                lines.event(event)
            show(event)

        return _follow(prepared, given, on_event, rebuild)


def _interrupted(home: "Home", thread: str, view: View) -> int:
    recorded = True
    with suppress(RLMError):
        recorded = home.runs.newest(thread, "", AGENT) is not None
    if recorded:
        say_below(f"interrupted; what was paid for is recorded. Go on: {resume_command(thread, view)}")
    else:
        say_below("interrupted before anything was asked or recorded: ask again")
    return Code.INTERRUPTED


def _follow(prepared: Prepared, given: Given, show: Callable[[Any], None], rebuild: bool) -> Ended:
    config: Any = {"configurable": {"thread_id": prepared.start.thread, **({REBUILD_KEY: True} if rebuild else {})}}
    last: Mapping[str, Any] = {}
    for mode, part in prepared.agent.stream(given, config, stream_mode=["custom", "values"]):
        if mode == "custom":
            show(part)
        else:
            last = part
    if waiting := prepared.waiting():
        return last, waiting
    if not last.get("rlm"):
        raise RLMError(f"Thread {prepared.start.thread!r} ended without a result; resume it.")
    return last, ()
