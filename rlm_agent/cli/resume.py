"""`rlm resume`: goes on with a thread as it was started, in this process or on another day."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from rlm_agent.cli.exits import reported
from rlm_agent.cli.json_lines import JsonLines
from rlm_agent.cli.options import (
    BudgetOption,
    HomeOption,
    JsonLinesOption,
    JsonOption,
    LastOption,
    ModelOption,
    QuietOption,
    SubModelOption,
    ToolOption,
    checked_tools,
    named_model,
    parse_budget,
)
from rlm_agent.cli.outcome import View, give
from rlm_agent.cli.starts import Start, load_start
from rlm_agent.cli.thread_names import named_thread, newest_question
from rlm_agent.settings import Budget

__all__ = ["resume"]


@reported
def resume(
    thread: Annotated[str | None, typer.Argument(help="The thread id that `rlm run` printed.")] = None,
    last: LastOption = False,
    budget: BudgetOption = None,
    model: ModelOption = None,
    sub_model: SubModelOption = None,
    tool: ToolOption = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Make snapshots again that are damaged, lost or of another Python, by running the recorded code.",
        ),
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    as_jsonl: JsonLinesOption = False,
    home: HomeOption = None,
) -> int:
    """Goes on with a run that was killed, interrupted or stopped by a limit.

    Nothing that was paid for is paid again. --budget usd=+10 adds to the recorded bound. An answered thread gives its
    recorded answer again.
    """
    from rlm_agent.store.home import default_home

    view = View(quiet, as_json, as_jsonl, home)
    with default_home(home) as opened:
        name = named_thread(opened, thread, last)
        _, question = newest_question(opened, name)
        if question.status == "answered" and question.result is not None and not rebuild:
            return _given_again(name, question.result, view)
        from rlm_agent.cli.agents import prepare_agent
        from rlm_agent.cli.entering import enter

        recorded = load_start(opened, name)
        start, given = _start(name, recorded, budget, model, sub_model)
        if tools := checked_tools(tool):
            start = replace(start, tools=tools, directory=os.getcwd())
        prepared = prepare_agent(opened, start, given, fresh=recorded is None or bool(model or sub_model))
        return enter(opened, prepared, None, view, rebuild=rebuild)


def _given_again(thread: str, result: Mapping[str, Any], view: View) -> int:
    if view.as_jsonl:
        JsonLines(thread).end(result["rlm"])
    return give(thread, result["text"], result["rlm"], view)


def _start(
    thread: str, recorded: Start | None, budget: Sequence[str] | None, model: str | None, sub_model: str | None
) -> tuple[Start, set[str]]:
    """As it was started, but for what is given now."""
    bounds, given = parse_budget(budget, recorded.budget if recorded is not None else Budget())
    if recorded is None:
        return Start(thread, named_model(model), sub_model, bounds), given
    return replace(
        recorded, model=model or recorded.model, sub_model=sub_model or recorded.sub_model, budget=bounds
    ), given
