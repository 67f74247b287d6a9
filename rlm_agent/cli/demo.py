"""`rlm demo`: what the project is for, shown without a key, with every number checked against a truth made here.

Two parts over one input: names located by the offline stand-in, and an aggregate over every chunk by a scripted root
that is killed in the middle and resumed. Invariant: exit code 0 only if every claim that it prints held this time.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.terminal import say

__all__ = ["demo"]


@reported
def demo(
    seed: Annotated[int, typer.Option("--seed", help="Which 30 names are looked up.")] = 0,
) -> int:
    """Answers from the standard library's sources, is killed and goes on: without a key, in about a minute."""
    print("No language model is used: the models below are stand-ins, a search program and a script.", flush=True)
    from rlm_agent.cli.demo_corpus import read_library
    from rlm_agent.cli.demo_steps import Aggregation, Location, window_step, write_input

    started = time.monotonic()
    with _directory() as directory:
        library, truth = read_library()
        write_input(library, directory)
        failures = [
            *Location(truth, seed).run(directory),
            *Aggregation(truth).run(directory),
            *window_step(library, directory),
        ]
    print(f"\n{time.monotonic() - started:.0f} s; nothing is left behind.", flush=True)
    for failure in failures:
        say(f"rlm demo: {failure}")
    return Code.FAILED if failures else Code.ANSWERED


@contextmanager
def _directory() -> Iterator[Path]:
    """Where everything is written; removed at the end, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="rlm-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)
