"""Which thread or run of the home a command is about."""

from typing import TYPE_CHECKING

from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.store.home import Home
    from rlm_agent.store.records import RunRecord

__all__ = ["last_thread", "named_thread"]


def named_thread(home: "Home", thread: str | None, last: bool) -> str:
    """The thread that is named, or the last one.

    Raises:
        ConfigError: both are given, or neither, or there is none yet.
    """
    if (thread is not None) == last:
        raise ConfigError("Name one thread, or give --last: `rlm log` lists the threads.")
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


def _standalone(run: "RunRecord") -> bool:
    return run.thread is not None and not run.path
