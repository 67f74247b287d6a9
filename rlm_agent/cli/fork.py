"""`rlm fork`: a new thread that stands where a turn of another one ended, to be gone on with by `rlm resume`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption, QuietOption
from rlm_agent.cli.outcome import View, resume_command
from rlm_agent.cli.starts import AGENT, find_start
from rlm_agent.cli.terminal import say, show
from rlm_agent.cli.thread_names import look
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.inspection import RunView

__all__ = ["fork", "how_to_go_on"]


@reported
def fork(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread id.")],
    turn: Annotated[
        int | None, typer.Option("--turn", "-t", help="Where the fork begins. Default: the newest.")
    ] = None,
    code: Annotated[
        str | None,
        typer.Option("--code", metavar="FILE", help="Python that the next turn runs; '-' reads it from stdin."),
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="A note that the root reads next.")
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Ask for everything anew, also for what is recorded.")
    ] = False,
    new: Annotated[str | None, typer.Option("--thread", help="Id of the new thread. Default: a random one.")] = None,
    quiet: QuietOption = False,
    home: HomeOption = None,
) -> int:
    """Makes a new thread that stands where a turn ended, and prints its id. Nothing is run or paid yet.

    Turns and variables are shared, and THREAD itself is not touched: it may be finished, stopped, or at work in another
    process. What the fork asks for again unchanged is answered from the record.
    """
    from rlm_agent.store.home import default_home

    source = None if code is None else _code(code)
    with default_home(home) as opened:
        view = look(opened, thread)
        number = _turn(view, turn)
        config = view.fork(number, code=source, message=message, resample=resample, thread=new)
        made = str(config["configurable"]["thread_id"])
        if not quiet:
            rebuild = _needs_rebuild(view, number)
            say(how_to_go_on(view, made, View(home=home)) + (" --rebuild" if rebuild else ""))
            if rebuild:
                say(f"the variables of turn {number} are not whole any more: --rebuild runs the recorded cells again")
    show(made)
    return Code.ANSWERED


def how_to_go_on(view: "RunView", made: str, given: View) -> str:
    """The line that says how a fork of a run is gone on with."""
    if view.record.name != AGENT:
        return f"go on with it in its own program: agent.invoke(None, {{'configurable': {{'thread_id': {made!r}}}}})"
    model = "" if find_start(view.home, made) is not None else " --model MODEL"
    return f"go on with it at any time: {resume_command(made, given)}{model}"


def _needs_rebuild(view: "RunView", number: int) -> bool:
    """Whether the variables at the end of a turn were given up (`rlm gc --keep`), or are damaged."""
    from rlm_agent.store import snapshots

    return bool(snapshots.broken(view.home, [turn.record for turn in view.turns if turn.number == number]))


def _turn(view: "RunView", given: int | None) -> int:
    if given is not None:
        return given
    if view.head is None:
        raise ConfigError(f"Thread {view.record.thread!r} has no turn yet: there is nothing to fork.")
    return view.head.number


def _code(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--code {file} cannot be read: {error}") from error
