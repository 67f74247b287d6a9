"""Which thread or run of the home a command is about."""

from typing import TYPE_CHECKING

from rlm_agent.cli.starts import AGENT
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.store.home import Home
    from rlm_agent.store.records import QuestionRecord, RunRecord

__all__ = ["last_thread", "named_thread", "newest_question"]


def named_thread(home: "Home", thread: str | None, last: bool) -> str:
    """The thread that is named, or the last one.

    Raises:
        ConfigError: both are given, or neither, or there is none yet.
    """
    if (thread is not None) == last:
        raise ConfigError("Name one thread, or give --last: `rlm threads` lists the threads.")
    return last_thread(home) if thread is None else thread


def last_thread(home: "Home") -> str:
    """The thread that can be entered from here and in which something happened most recently."""
    newest = home.runs.last()
    if newest is not None and _standalone(newest):
        return str(newest.thread)
    found = [run for run in home.runs.list() if _standalone(run)]
    if not found:
        raise ConfigError(f"The home {home.path} holds no thread yet: start one with rlm run.")
    return str(found[-1].thread)


def newest_question(home: "Home", thread: str) -> "tuple[RunRecord, QuestionRecord]":
    """The run of a thread that can be entered from here, and its newest question.

    Raises:
        ConfigError: there is none.
    """
    found = home.runs.newest(thread, "", AGENT)
    if found is None:
        raise ConfigError(f"No thread {thread!r} in the home {home.path}: `rlm threads` lists what is there.")
    return found


def _standalone(run: "RunRecord") -> bool:
    return run.thread is not None and not run.path
