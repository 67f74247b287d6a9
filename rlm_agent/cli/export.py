"""`rlm export`: a run in one file, to go on with under another home."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption
from rlm_agent.cli.starts import AGENT, load_start
from rlm_agent.cli.terminal import bytes_text, counted, one_line, say, show
from rlm_agent.errors import ConfigError
from rlm_agent.store.failures import explained

__all__ = ["export"]

_NOT_IN_NAMES = re.compile(r"[^\w.-]+|^[.-]+")


@reported
def export(
    thread: Annotated[str, typer.Argument(help="The thread id.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; default: THREAD.rlm.zip.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The agent's name.")] = AGENT,
    home: HomeOption = None,
) -> int:
    """Writes a thread's newest run into one archive, with inputs, variables and all that was paid for; no key is in it.

    `rlm import FILE --trust` takes it into another home, where `rlm resume` goes on with it and pays nothing again.
    """
    from rlm_agent.inspection import open_run
    from rlm_agent.store.home import default_home

    file = output or Path(_NOT_IN_NAMES.sub("_", thread)[:100] + ".rlm.zip")
    if file.exists():
        raise ConfigError(f"{file} exists: give another file with --output, or remove it.")
    with default_home(home) as opened:
        view = open_run(thread, name, opened)
        start = load_start(opened, thread)
        from rlm_agent.recorded.transfer import export_run

        with explained(file):
            size = export_run(opened, view.record, file, None if start is None else asdict(start))
    say(f"exported thread {one_line(thread)}: {counted(len(view.turns), 'turn')}, {bytes_text(size)}")
    show(str(file))
    return Code.ANSWERED
