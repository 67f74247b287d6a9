"""Enters a prepared agent on its thread and follows it to its end, or to the user's Ctrl-C."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rlm_agent.cli.agents import Prepared
from rlm_agent.cli.exits import Code
from rlm_agent.cli.outcome import View, give, resume_command
from rlm_agent.cli.progress import progress
from rlm_agent.cli.starts import save_start
from rlm_agent.cli.terminal import say
from rlm_agent.errors import RLMError

if TYPE_CHECKING:
    from rlm_agent.store.home import Home

__all__ = ["enter"]


def enter(home: "Home", prepared: Prepared, given: Mapping[str, Any] | None, view: View) -> int:
    """Runs the agent, shows its progress, prints its result.

    Args:
        home: where the run lives.
        prepared: the agent and its thread.
        given: the input, or None to resume.
        view: how to show it.

    Returns:
        The exit code. Interrupted, all that was paid for is recorded, and the command that goes on is printed.
    """
    thread = prepared.start.thread
    prepared.announce(home, view)
    try:
        with progress(view.quiet) as show:
            out = _follow(prepared, given, _recording(home, prepared, show))
    except KeyboardInterrupt:
        say(f"interrupted; what was paid for is recorded. Go on: {resume_command(thread, view)}")
        return Code.INTERRUPTED
    return give(thread, str(out["messages"][-1].text), out["rlm"], view)


def _recording(home: "Home", prepared: Prepared, show: Callable[[Any], None]) -> Callable[[Any], None]:
    """`show`, after the start is recorded at the first event: then the thread is ours, and nothing is paid yet."""

    def record_and_show(event: Any) -> None:
        if event["type"] == "run.started":
            save_start(home, prepared.start)
        show(event)

    return record_and_show


def _follow(prepared: Prepared, given: Mapping[str, Any] | None, show: Callable[[Any], None]) -> Mapping[str, Any]:
    config: Any = {"configurable": {"thread_id": prepared.start.thread}}
    last: Mapping[str, Any] = {}
    for mode, part in prepared.agent.stream(given, config, stream_mode=["custom", "values"]):
        if mode == "custom":
            show(part)
        else:
            last = part
    if not last.get("rlm"):
        raise RLMError(f"Thread {prepared.start.thread!r} ended without a result; resume it.")
    return last
