"""prepare: finds the question that this entry is about, or records a new one, before anything is paid.

The table of the contract, section 6, is decided here: resume, note, next question, recorded result. How a question is
recorded or opened again is `entries/questions.py`'s; entries at an older checkpoint are `entries/time_travel.py`'s.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from rlm_agent import keys
from rlm_agent.entries.activity import Activity
from rlm_agent.entries.entry import agent_path
from rlm_agent.entries.questions import (
    Asked,
    find_key,
    first_question,
    give_recorded,
    is_equal,
    next_question,
    read_asked,
    reopen,
)
from rlm_agent.entries.time_travel import go_back, goes_back
from rlm_agent.errors import ConfigError, LeaseHeld
from rlm_agent.models.chat import text_of
from rlm_agent.models.messages import last_human
from rlm_agent.store.records import QuestionRecord, RunRecord

__all__ = ["prepare"]

Found = tuple[RunRecord, QuestionRecord]


async def prepare(activity: Activity, state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
    """The node."""
    entry, home = activity.entry, activity.home
    await home.read(home.open)
    input_key = activity.spec.input_key
    context = None if input_key is None else state.get(input_key)
    messages = list(state.get("messages") or [])
    activity.loaded_head = None if entry.checkpoint else state.get("rlm_head")
    if activity.resume or (entry.checkpoint and last_human(messages) is None):
        return await _resume(activity, messages)
    asked = read_asked(messages, context)
    path = _path(activity, config, asked)
    if entry.thread is None:
        return await first_question(activity, asked, path)
    if entry.embedded and (done := await _recorded(activity, asked, path)) is not None:
        return done
    await _take_lease(activity, asked, keys.place(entry.thread, path, activity.spec.name))
    found = await home.read(home.runs.newest, entry.thread, path, activity.spec.name)
    if entry.checkpoint and found is not None and await goes_back(activity, asked, state, *found):
        return await go_back(activity, asked, found[0], state.get("rlm_head"))
    return await _decide(activity, asked, path, found)


def _path(activity: Activity, config: RunnableConfig, asked: Asked) -> str:
    """The agent path; each visit of an embedded agent without memory has one of its own."""
    entry = activity.entry
    if not entry.embedded:
        return ""
    path = agent_path(config["configurable"].get("checkpoint_ns", ""), numbered=entry.persistent)
    return path if entry.persistent else f"{path}@{keys.digest(entry.task, asked.digest())[:32]}"


async def _recorded(activity: Activity, asked: Asked, path: str) -> dict[str, Any] | None:
    """The recorded result of an embedded question that is finished."""
    home, entry = activity.home, activity.entry
    found = await home.read(home.runs.newest, entry.thread, path, activity.spec.name)
    if found is None or found[1].status == "open" or found[1].find_key != find_key(activity, asked):
        return None
    return await give_recorded(activity, *found, asked.messages)


async def _take_lease(activity: Activity, asked: Asked, place: str) -> None:
    try:
        await activity.lease(place)
    except LeaseHeld:
        await _leave_note(activity, asked)
        raise


async def _leave_note(activity: Activity, asked: Asked) -> None:
    """The run is another's: a new message is kept as a note that its owner reads."""
    home, entry = activity.home, activity.entry
    if entry.embedded or entry.thread is None:
        return
    found = await home.read(home.runs.newest, entry.thread, "", activity.spec.name)
    if found is not None and asked.digest(found[1].context_digest) != found[1].digest:
        await _add_note(activity, found[0], asked)


async def _add_note(activity: Activity, run: RunRecord, asked: Asked) -> None:
    assert asked.message is not None
    await activity.home.notes.add(run.id, text_of(asked.message), asked.message.id)


async def _decide(activity: Activity, asked: Asked, path: str, found: Found | None) -> dict[str, Any]:
    entry = activity.entry
    if found is None:
        return await first_question(activity, asked, path)
    run, question = found
    _same_context(asked, question)
    if question.status != "open":
        if not entry.durable and not entry.embedded:
            return await first_question(activity, asked, path)
        if entry.embedded and not entry.persistent:
            return await reopen(activity, run, question, asked.messages)
        return await next_question(activity, asked, run, question)
    if not is_equal(asked, question):
        await _add_note(activity, run, asked)
    return await reopen(activity, run, question, asked.messages)


def _same_context(asked: Asked, question: QuestionRecord) -> None:
    if question.status == "open" and asked.context is not None and asked.context_digest != question.context_digest:
        raise ConfigError(
            "This thread has an unfinished question about another context. Resume it first (invoke with None, or with "
            "the same input), or use a new thread id for the new context. Nothing was changed."
        )


async def _resume(activity: Activity, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    entry, home = activity.entry, activity.home
    assert entry.thread is not None
    await activity.lease(keys.place(entry.thread, "", activity.spec.name))
    found = await home.read(home.runs.newest, entry.thread, "", activity.spec.name)
    if found is None:
        raise ConfigError(f"Thread {entry.thread!r} has no run to resume in the home {home.path}.")
    if found[1].status == "answered":
        return await give_recorded(activity, *found, messages)
    return await reopen(activity, *found, messages)
