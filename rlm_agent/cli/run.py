"""`rlm run`: asks a question, on a new thread or as the next one of a thread; or tells an unfinished run something."""

import os
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlm_agent.cli.corpus import load_sources
from rlm_agent.cli.exits import reported
from rlm_agent.cli.options import (
    AgentOption,
    BudgetOption,
    DepthOption,
    HomeOption,
    JsonLinesOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SubModelOption,
    TipsOption,
    ToolOption,
    checked_tools,
    named_model,
    parse_budget,
    text_or_stdin,
)
from rlm_agent.cli.outcome import View
from rlm_agent.cli.starts import AGENT, Start, find_start
from rlm_agent.errors import ConfigError, LeaseHeld
from rlm_agent.ready_made import known_agent
from rlm_agent.settings import Budget

if TYPE_CHECKING:
    from rlm_agent.cli.agents import Prepared
    from rlm_agent.store.home import Home

__all__ = ["run"]

_NOTED = "the thread has an unfinished question: this is a note that its root reads at its next turn"


@reported
def run(
    question: Annotated[str, typer.Argument(help="The question; '-' reads it from stdin.")],
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            "-c",
            metavar="SRC",
            help="The large input: a file, directory, quoted glob, archive, URL, or what rlm corpus add printed. "
            "Repeatable.",
        ),
    ] = None,
    model: ModelOption = None,
    sub_model: SubModelOption = None,
    tool: ToolOption = None,
    tips: TipsOption = None,
    agent: AgentOption = None,
    max_depth: DepthOption = None,
    budget: BudgetOption = None,
    thread: Annotated[
        str | None,
        typer.Option("--thread", help="Thread id; of an answered thread: the next question. Default: a new one."),
    ] = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="The root may ask you: it waits for your answer, which rlm resume takes.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    as_jsonl: JsonLinesOption = False,
    home: HomeOption = None,
) -> int:
    """Asks a question about an input of any size.

    The answer goes to stdout, progress to stderr. Ctrl-C saves, stops and prints the command that goes on; a second one
    stops at once. Exit codes: 0 answered, 1 failed, 2 usage, 3 stopped by a limit with a partial answer, 4 waiting for
    your answer, 130 interrupted.
    """
    if any("=+" in item for item in budget or ()):
        raise ConfigError("--budget NAME=+N adds to the bound of a run that is there: use it with rlm resume.")
    view = View(quiet, as_json, as_jsonl, home)
    tools = checked_tools(tool)
    if agent is not None:
        known_agent(agent)
    if thread is None:
        named_model(model)  # before stdin is waited for
    asked = text_or_stdin(question, "The question")

    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        before = _before(opened, thread)
        base = before.start.budget if before.start is not None and before.unfinished is not None else Budget()
        bounds, given = parse_budget(budget, base)
        start = _start(before, thread, _Made(model, sub_model, tools, tuple(tips or ()), ask, agent, max_depth), bounds)
        prepared = _prepared(opened, before, start, given)
        return _enter(opened, prepared, before, _Input(asked, tuple(context or ())), view)


@dataclass(frozen=True, slots=True)
class _Input:
    """What is asked, and the sources of the large input."""

    text: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Before:
    """What is known of a thread that is named.

    Attributes:
        start: how it was started; None: it was not, from here.
        unfinished: the text of the question that it is still to answer.
    """

    start: Start | None = None
    unfinished: str | None = None


def _before(home: "Home", thread: str | None) -> _Before:
    if thread is None:
        return _Before()
    found = home.runs.newest(thread, "", AGENT)
    is_open = found is not None and found[1].status == "open"
    return _Before(find_start(home, thread), str(found[1].message["text"]) if found and is_open else None)


@dataclass(frozen=True, slots=True)
class _Made:
    """What the command line names of the agent: models, plugins, strategies, whether it may ask, which it is."""

    model: str | None
    sub_model: str | None
    tools: tuple[str, ...]
    tips: tuple[str, ...]
    ask: bool
    agent: str | None
    max_depth: int | None


def _start(before: _Before, thread: str | None, made: _Made, bounds: Budget) -> Start:
    """A thread keeps its models, tools and strategies unless others are named, and its leave to ask."""
    kept = before.start
    if kept is None:
        thread = thread or uuid.uuid4().hex[:12]
        model = named_model(made.model)
        given = (model, made.sub_model, bounds, made.tools, made.tips, os.getcwd(), made.ask)
        return Start(thread, *given, made.agent or "", 1 if made.max_depth is None else made.max_depth)
    return replace(
        kept,
        model=made.model or kept.model,
        sub_model=made.sub_model or kept.sub_model,
        budget=bounds,
        tools=made.tools or kept.tools,
        tips=made.tips or kept.tips,
        ask=made.ask or kept.ask,
        agent=made.agent or kept.agent,
        max_depth=kept.max_depth if made.max_depth is None else made.max_depth,
        directory=os.getcwd() if made.tools else kept.directory,
    )


def _prepared(home: "Home", before: _Before, start: Start, given: set[str]) -> "Prepared":
    """The agent; an unfinished question goes on with its models and bounds, any other has bounds of its own."""
    from rlm_agent.cli.agents import prepare_agent

    kept = before.start if before.unfinished is not None else None
    fresh = kept is None or (start.model, start.sub_model) != (kept.model, kept.sub_model)
    return prepare_agent(home, start, given, fresh=fresh)


def _enter(home: "Home", prepared: "Prepared", before: _Before, given: _Input, view: View) -> int:
    from rlm_agent.cli.entering import enter

    is_note = before.unfinished not in (None, given.text)
    if is_note:
        prepared = replace(prepared, remarks=(*prepared.remarks, _NOTED))
    message: dict[str, Any] = {"messages": [("user", given.text)]}
    if given.sources:
        message["context"] = load_sources(home, given.sources)
    try:
        return enter(home, prepared, message, view)
    except LeaseHeld as error:
        kept = " What you said is kept: its root reads it as a note at its next turn." if is_note else ""
        raise LeaseHeld(f"{error}{kept}") from error
