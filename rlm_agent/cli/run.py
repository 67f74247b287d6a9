"""`rlm run`: asks a question, on a new thread or as the next one of a thread."""

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlm_agent.cli.exits import reported
from rlm_agent.cli.options import (
    BudgetOption,
    HomeOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SubModelOption,
    named_model,
    parse_budget,
)
from rlm_agent.cli.outcome import View
from rlm_agent.cli.starts import Start
from rlm_agent.errors import ConfigError
from rlm_agent.settings import Budget

if TYPE_CHECKING:
    from rlm_agent.store.home import Home

__all__ = ["run"]


@reported
def run(
    question: Annotated[str, typer.Argument(help="The question; '-' reads it from stdin.")],
    context: Annotated[
        list[str] | None,
        typer.Option("--context", "-c", metavar="SRC", help="The large input: a file, a directory or a quoted glob."),
    ] = None,
    model: ModelOption = None,
    sub_model: SubModelOption = None,
    budget: BudgetOption = None,
    thread: Annotated[str | None, typer.Option("--thread", help="Thread id; default: a new one.")] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Asks a question about an input of any size.

    The answer goes to stdout, progress to stderr. Exit codes: 0 answered, 1 failed, 2 usage, 3 stopped by a limit with
    a partial answer, 130 interrupted.
    """
    if any("=+" in item for item in budget or ()):
        raise ConfigError("--budget NAME=+N adds to the bound of a run that is there: use it with rlm resume.")
    bounds, given = parse_budget(budget, Budget())
    start = Start(thread or uuid.uuid4().hex[:12], named_model(model), sub_model, bounds)
    asked, source = _question(question), _source(context)

    from rlm_agent.cli.agents import prepare_agent
    from rlm_agent.cli.entering import enter
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        prepared = prepare_agent(opened, start, given, fresh=True)
        message: dict[str, Any] = {"messages": [("user", asked)], **_loaded(opened, source)}
        return enter(opened, prepared, message, View(quiet, as_json, home))


def _question(given: str) -> str:
    text = sys.stdin.read() if given == "-" else given
    if not text.strip():
        raise ConfigError("The question is empty: give it as the first argument, or '-' and the text on stdin.")
    return text.strip()


def _source(given: list[str] | None) -> str | None:
    if len(given or ()) > 1:
        raise ConfigError(
            "--context takes one source in this version: name a directory or a quoted glob ('docs/**/*.md') that "
            "holds all of it."
        )
    return given[0] if given else None


def _loaded(home: "Home", source: str | None) -> dict[str, Any]:
    """The input under its state key. On a command line a source is a path, whatever it looks like."""
    if source is None:
        return {}
    from rlm_agent.corpus import Corpus

    path = source if "://" in source else Path(source).expanduser()
    return {"context": Corpus.load(path, home=home)}
