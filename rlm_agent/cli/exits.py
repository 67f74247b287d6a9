"""How a command ends: its exit code, and one line for whatever went wrong. The last boundary of the program.

Invariant: no traceback reaches the user unless RLM_DEBUG asks for one.
"""

import functools
import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec

import typer

from rlm_agent.cli.terminal import one_line, say
from rlm_agent.environment import debug
from rlm_agent.errors import ConfigError, RLMError

__all__ = ["Code", "reported"]

P = ParamSpec("P")


class Code(IntEnum):
    """Exit codes of the contract, section 10."""

    ANSWERED = 0
    FAILED = 1
    USAGE = 2
    STOPPED = 3
    WAITING = 4
    INTERRUPTED = 130


def reported(command: Callable[P, int]) -> Callable[P, None]:
    """A typer command out of a function that returns an exit code and may raise."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        raise typer.Exit(_ended(lambda: command(*args, **kwargs)))

    return run


def _ended(command: Callable[[], int]) -> int:
    try:
        code = int(command())
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("rlm: interrupted")
        return Code.INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except Exception as error:  # noqa: BLE001 - the program's last boundary: whatever it is becomes one line
        return _failed(error)
    return code


def _failed(error: Exception) -> int:
    if debug():
        say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, RLMError):
        say(f"rlm: {one_line(str(error))}")
        return Code.USAGE if isinstance(error, ConfigError) else Code.FAILED
    say(f"rlm: unexpected {type(error).__name__}: {one_line(str(error))} (RLM_DEBUG=1 shows the traceback)")
    return Code.FAILED


def _nobody_reads() -> int:
    """The reader of stdout has gone (`rlm log | head`): the interpreter must not fail on its last flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Code.FAILED
