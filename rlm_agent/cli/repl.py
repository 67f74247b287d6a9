"""`rlm repl`: a prompt in a throw-away copy of a run's REPL. The run itself, living or finished, is only read."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption, QuietOption
from rlm_agent.cli.outcome import View, status_word
from rlm_agent.cli.terminal import say, show
from rlm_agent.cli.thread_names import look
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.recorded.values import EvalResult

__all__ = ["repl"]


@reported
def repl(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread id.")],
    turn: Annotated[
        int | None, typer.Option("--turn", "-t", help="As of the end of this turn. Default: the newest.")
    ] = None,
    quiet: QuietOption = False,
    home: HomeOption = None,
) -> int:
    """Opens a Python prompt on a copy of a run's variables, also while another process works on the run.

    What is changed there is gone at the end; sub-calls are not to be had. Inside, :help lists what else there is: tell
    the root something, fork the run with what was typed. Without a terminal all of stdin is run at once: exit code 0,
    or 1 where it failed.
    """
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        view = look(opened, thread)
        if not sys.stdin.isatty():
            return _run_all(view.eval(_code(), turn))
        from rlm_agent.cli.repl_prompt import Prompt

        prompt = Prompt(view, turn, View(quiet, home=home))
        if not quiet:
            say(f"a copy of {thread} ({status_word(view.status, view.waiting)}); :help tells more, Ctrl-D leaves")
        prompt.run()
    return Code.ANSWERED


def _code() -> str:
    code = sys.stdin.read()
    if not code.strip():
        raise ConfigError("stdin is empty: give code on it, or call rlm repl in a terminal.")
    return code


def _run_all(result: "EvalResult") -> int:
    if result.output:
        show(result.output)
    if result.error is not None:
        say(result.error)
    return Code.ANSWERED if result.error is None else Code.FAILED
