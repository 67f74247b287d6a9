"""`rlm resume`: goes on with a thread as it was started, in this process or on another day."""

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

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
    added_bounds,
    checked_tools,
    named_model,
    parse_budget,
)
from rlm_agent.cli.outcome import View, give
from rlm_agent.cli.starts import Start, find_start
from rlm_agent.cli.terminal import say
from rlm_agent.cli.thread_names import named_thread, newest_question
from rlm_agent.cli.waiting import Answer
from rlm_agent.errors import ConfigError, LeaseHeld
from rlm_agent.settings import Budget

if TYPE_CHECKING:
    from langgraph.types import Command

    from rlm_agent.cli.agents import Prepared
    from rlm_agent.store.home import Home

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
    approve: Annotated[bool, typer.Option("--approve", help="Let what waits for you be done.")] = False,
    reject: Annotated[
        str | None, typer.Option("--reject", metavar="WHY", help="Refuse what waits for you; the model reads why.")
    ] = None,
    reply: Annotated[
        str | None, typer.Option("--reply", metavar="TEXT", help="Answer the question that waits for you.")
    ] = None,
    id_: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Where several wait: which are answered; 'all' for all. Repeatable."),
    ] = None,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Where another process works on it: wait as long as it takes, or not at all. Default: 20 s.",
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    as_jsonl: JsonLinesOption = False,
    home: HomeOption = None,
) -> int:
    """Goes on with a run that was killed, interrupted, stopped by a limit, or waits for your answer.

    Nothing that was paid for is paid again. --budget usd=+10 adds to the recorded bound, also of a run that another
    process works on: that has it from its next turn on. An answered thread gives its recorded answer again.
    Where a question waits for you, --approve, --reject WHY or --reply TEXT answers it; the others go on waiting.
    """
    from rlm_agent.store.home import default_home

    view, answer = View(quiet, as_json, as_jsonl, home), Answer(approve, reject, reply, tuple(id_ or ()))
    with default_home(home) as opened:
        name = named_thread(opened, thread, last)
        _, question = newest_question(opened, name)
        if question.status == "answered" and not answer and question.result is not None and not rebuild:
            if budget:
                say(f"answered already, no bound holds it: ask on with rlm run TEXT --thread {shlex.quote(name)}")
            return _given_again(name, question.result, view)
        from rlm_agent.cli.agents import prepare_agent
        from rlm_agent.cli.entering import enter

        recorded = find_start(opened, name)
        start, given = _start(name, recorded, budget, model, sub_model)
        if tools := checked_tools(tool):
            start = replace(start, tools=tools, directory=os.getcwd())
        prepared = prepare_agent(opened, start, given, fresh=recorded is None or bool(model or sub_model))
        try:
            with _waiting(wait):
                return enter(opened, prepared, _answered(prepared, answer), view, rebuild=rebuild)
        except LeaseHeld as error:
            raise LeaseHeld(f"{error}{_raised_for_its_owner(opened, name, budget)}") from error


def _raised_for_its_owner(home: "Home", thread: str, budget: Sequence[str] | None) -> str:
    """Raises the bounds of a run that another process works on. Returns what is to be said of it."""
    amounts = added_bounds(budget)
    if not amounts:
        return ""
    from rlm_agent.inspection import open_run

    open_run(thread, home=home).extend(**amounts)
    return " The raised bounds are recorded: it has them from its next turn on."


def _answered(prepared: "Prepared", answer: Answer) -> "Command[Any] | None":
    """The answer for what waits on the thread; None: it is gone on with as it is."""
    waiting = prepared.waiting()
    asks = any(each.value["what"] == "ask_human" for each in waiting)
    if asks and prepared.agent.spec.approvals.ask is None:
        raise ConfigError(
            "The program that started this run lets its root ask a person, and rlm resume does not: answer there, with "
            "invoke(Command(resume=...)) of its agent. Nothing was changed."
        )
    return answer.command(waiting) if answer else None


def _waiting(wait: bool | None) -> AbstractContextManager[None]:
    from rlm_agent.entries.activity import lease_wait

    return nullcontext() if wait is None else lease_wait(math.inf if wait else 0.0)


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
