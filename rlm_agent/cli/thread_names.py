"""Which thread or run of the home a command is about."""

from typing import TYPE_CHECKING

from rlm_agent.cli.starts import AGENT
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.inspection import RunView
    from rlm_agent.recorded.turn_view import TurnView
    from rlm_agent.store.home import Home
    from rlm_agent.store.records import QuestionRecord, RunRecord

__all__ = ["last_thread", "look", "named_thread", "newest_question", "turns_to"]

_FEWEST_DIGITS = 8


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
    """The run of a thread that can be entered from here, and the question that it stands at.

    Raises:
        ConfigError: there is none; the message says what to do with another program's.
    """
    found = home.runs.newest(thread, "", AGENT)
    if found is not None:
        return found
    run = look(home, thread).record
    how = f'invoke(None, {{"configurable": {{"thread_id": {thread!r}}}}}) of the agent {run.name!r}'
    if run.path:
        how = f"the same input to the graph in which it is {run.path!r}, or a fork (rlm fork) if its name is {AGENT!r}"
    raise ConfigError(f"Thread {thread!r} is another program's run; that goes on with it: {how}.")


def look(home: "Home", thread: str) -> "RunView":
    """The run that a thread is looked at by: the newest that can be entered from here, else the newest of all.

    Args:
        home: where the runs live.
        thread: a thread id; or the first digits, at least 8, of the id of a run that has no thread.

    Raises:
        ConfigError: there is none.
    """
    from rlm_agent.inspection import RunView

    found = home.runs.list(thread)
    if not found and len(thread) >= _FEWEST_DIGITS:
        found = [run for run in home.runs.list() if run.thread is None and run.id.startswith(thread)]
    if not found:
        raise ConfigError(f"No thread {thread!r} in the home {home.path}: `rlm threads` lists what is there.")
    return RunView(max(found, key=lambda run: (not run.path and run.name == AGENT, not run.path, run.created)), home)


def turns_to(view: "RunView", number: int | None) -> "list[TurnView]":
    """The turns of a run up to one of them, or up to the newest.

    Raises:
        ConfigError: there is no such turn.
    """
    turns = view.turns
    upto = [turn for turn in turns if number is None or turn.number <= number]
    if number is not None and (not upto or upto[-1].number != number):
        there = f"its turns are {turns[0].number} to {turns[-1].number}" if turns else "it has no turn yet"
        raise ConfigError(f"Thread {view.record.thread!r} has no turn {number}: {there}.")
    return upto


def _standalone(run: "RunRecord") -> bool:
    return run.thread is not None and not run.path
