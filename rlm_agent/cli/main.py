"""The entry point of `rlm`. Importing it imports no LangGraph: `rlm --help` and `rlm --version` are quick."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from rlm_agent.cli.corpus import corpus_commands
from rlm_agent.cli.demo import demo
from rlm_agent.cli.diff import diff
from rlm_agent.cli.doctor import doctor
from rlm_agent.cli.export import export
from rlm_agent.cli.fork import fork
from rlm_agent.cli.gc import gc
from rlm_agent.cli.imports import import_archive
from rlm_agent.cli.log import log
from rlm_agent.cli.repl import repl
from rlm_agent.cli.resume import resume
from rlm_agent.cli.rm import rm
from rlm_agent.cli.run import run
from rlm_agent.cli.show import show
from rlm_agent.cli.tell import tell
from rlm_agent.cli.terminal import forgiving_streams
from rlm_agent.cli.threads import threads
from rlm_agent.cli.tips import tips
from rlm_agent.cli.tools import tools
from rlm_agent.cli.version import own_version

__all__ = ["main"]


def _print_version(asked: bool) -> None:
    if not asked:
        return
    print(f"rlm {own_version()}")
    raise typer.Exit


def _rlm(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="The version, and exit.")
    ] = False,
) -> None:
    """Recursive Language Models: a durable agent that answers from inputs no model can read."""


def _app() -> typer.Typer:
    app = typer.Typer(
        name="rlm", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.callback()(_rlm)
    working = (run, resume, tell, threads, log, show, repl, fork, diff)
    keeping = (export, rm, gc, tools, tips, doctor, demo)
    commands: tuple[Callable[..., None], ...] = (*working, *keeping)
    for command in commands:
        app.command()(command)
    app.command("import")(import_archive)
    app.add_typer(corpus_commands(), name="corpus")
    return app


def main() -> None:
    """Runs the command line and exits with its code."""
    forgiving_streams()
    try:
        _app()(prog_name="rlm")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
