"""`rlm rm`: removes a thread's runs, once a person said so."""

import asyncio
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption
from rlm_agent.cli.starts import forget_start
from rlm_agent.cli.terminal import counted, first_words, one_line, say
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm_agent.store.home import Home
    from rlm_agent.store.records import RunRecord

__all__ = ["rm"]


@reported
def rm(
    thread: Annotated[str, typer.Argument(help="The thread id.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Only the runs of the agent of this name; default: all of the thread.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: HomeOption = None,
) -> int:
    """Removes the runs of a thread: questions, turns, ledger, notes, checkpoints. They cannot be had back.

    A run that is being worked on is not removed. What forks of it need stays with them. `rlm gc` then frees the space.
    """
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        found = [run for run in opened.runs.list(thread) if name is None or run.name == name]
        if not found:
            by = "" if name is None else f" by an agent named {name!r}"
            raise ConfigError(
                f"The home {opened.path} holds no run of thread {thread!r}{by}: `rlm threads` lists them."
            )
        if not (yes or _agreed(opened, thread, found)):
            say("nothing was removed")
            return Code.FAILED
        from rlm_agent.recorded.removal import remove_runs

        asyncio.run(remove_runs(opened, found))
        if not opened.runs.list(thread):
            forget_start(opened, thread)
    say(f"removed {counted(len(found), 'run')} of thread {one_line(thread)}; `rlm gc` frees the space")
    return Code.ANSWERED


def _agreed(home: "Home", thread: str, found: "Sequence[RunRecord]") -> bool:
    """Asks the person at the terminal.

    Raises:
        ConfigError: nobody can be asked.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        command = f"rlm rm {shlex.quote(thread)} --yes"
        raise ConfigError(f"rlm rm asks before it removes anything, and nobody can be asked here: {command}")
    say(f"thread {one_line(thread)}: {counted(len(found), 'run')}")
    for run in found:
        question, head = home.runs.question(run.id), home.turns.head(run.id)
        turns = counted(0 if head is None else head.number, "turn")
        say(f"  {run.name}, {turns}, {question.status}: {first_words(str(question.message['text']), 60)}")
    return typer.confirm("Remove it for good?", err=True)
