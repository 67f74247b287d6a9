"""`rlm import`: takes an exported run into the home, once a person vouches for it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption
from rlm_agent.cli.outcome import View, resume_command
from rlm_agent.cli.starts import save_start, start_from
from rlm_agent.cli.terminal import counted, one_line, say, show
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.recorded.transfer import Imported
    from rlm_agent.store.home import Home

__all__ = ["import_archive"]


@reported
def import_archive(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `rlm export` wrote.")],
    trust: Annotated[bool, typer.Option("--trust", help="You know who wrote the archive, and trust them.")] = False,
    thread: Annotated[str | None, typer.Option("--thread", help="The thread id it gets; default: as it was.")] = None,
    home: HomeOption = None,
) -> int:
    """Takes an exported run into the home: all of it, checked, or nothing. `rlm resume` then goes on with it."""
    if not trust:
        raise ConfigError(
            "An archive holds saved variables, which are code: the REPL worker runs it when the run is resumed or "
            "looked into. Import only what you, or somebody you trust, exported: add --trust."
        )
    from rlm_agent.recorded.transfer import import_run
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        imported = asyncio.run(import_run(opened, file, thread))
        name = str(imported.run.thread)
        _keep_start(opened, imported)
        head = opened.turns.head(imported.run.id)
    turns = counted(0 if head is None else head.number, "turn")
    say(f"imported thread {one_line(name)}: {turns}; go on: {resume_command(name, View(home=home))}")
    show(name)
    return Code.ANSWERED


def _keep_start(home: "Home", imported: "Imported") -> None:
    """So that `rlm resume THREAD` needs no --model; where the archive does not tell, it asks for one."""
    if imported.start is None:
        return
    try:
        save_start(home, start_from(str(imported.run.thread), imported.start))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        say(f"how the thread was started cannot be read ({one_line(str(error))}): resume it with --model")
