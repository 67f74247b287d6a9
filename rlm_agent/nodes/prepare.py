"""prepare: finds the question that this entry is about, or records a new one, before anything is paid.

The table of the contract, section 6, is decided here: resume, note, next question, recorded result.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from rlm_agent import keys
from rlm_agent.activity import Activity, place_of
from rlm_agent.entry import agent_path
from rlm_agent.errors import ConfigError, LeaseHeld
from rlm_agent.messages import conversation, last_human
from rlm_agent.models import text_of
from rlm_agent.state import Step
from rlm_agent.store.records import QuestionRecord, RunRecord

__all__ = ["Asked", "prepare", "read_asked"]

Found = tuple[RunRecord, QuestionRecord]


class Asked:
    """What the caller asks: the last human message, what came before it, the context."""

    def __init__(self, messages: list[BaseMessage], context: Mapping[str, Any] | None) -> None:
        at = last_human(messages)
        self.messages = messages
        self.message = None if at is None else messages[at]
        self.earlier = conversation(messages[:at]) if at is not None else []
        self.context = None if context is None else dict(context)
        self.context_digest = "" if context is None else str(context["digest"])

    def digest(self, context_digest: str | None = None) -> str:
        """The question's digest, with this context or an earlier one."""
        content = self.message.content if self.message is not None else None
        return keys.question_digest(content, self.context_digest if context_digest is None else context_digest)


def read_asked(messages: list[BaseMessage], context: Mapping[str, Any] | None) -> Asked:
    """Reads the input.

    Raises:
        ConfigError: there is no human message to answer.
    """
    asked = Asked(messages, context)
    if asked.message is None:
        raise ConfigError('Nothing is asked: give at least one human message, {"messages": [("user", "...")]}.')
    return asked


async def prepare(activity: Activity, state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
    """The node."""
    entry, home = activity.entry, activity.home
    await home.read(home.open)
    input_key = activity.spec.input_key
    context = None if input_key is None else state.get(input_key)
    messages = list(state.get("messages") or [])
    if activity.resume:
        return await _resume(activity, messages)
    asked = read_asked(messages, context)
    path = _path(activity, config, asked)
    if entry.thread is None:
        return await _first_question(activity, asked, path)
    if entry.embedded and (done := await _recorded(activity, asked, path)) is not None:
        return done
    await _take_lease(activity, asked, keys.place(entry.thread, path, activity.spec.name))
    found = await home.read(home.runs.newest, entry.thread, path, activity.spec.name)
    return await _decide(activity, asked, path, found)


def _path(activity: Activity, config: RunnableConfig, asked: Asked) -> str:
    """The agent path; each visit of an embedded agent without memory has one of its own."""
    entry = activity.entry
    if not entry.embedded:
        return ""
    path = agent_path(config["configurable"].get("checkpoint_ns", ""))
    return path if entry.persistent else f"{path}@{keys.digest(entry.task, asked.digest())[:32]}"


def _find_key(activity: Activity, asked: Asked) -> str | None:
    """Under which a parent's re-run of the calling step finds the question again."""
    entry = activity.entry
    return keys.digest("find", entry.task, asked.digest()) if entry.embedded else None


async def _recorded(activity: Activity, asked: Asked, path: str) -> dict[str, Any] | None:
    """The recorded result of an embedded question that is finished."""
    home, entry = activity.home, activity.entry
    found = await home.read(home.runs.newest, entry.thread, path, activity.spec.name)
    if found is None or found[1].status == "open" or found[1].find_key != _find_key(activity, asked):
        return None
    await activity.attach(*found)
    return await _step(activity, Step(phase="finish", recorded=True), asked.messages)


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
        return await _first_question(activity, asked, path)
    run, question = found
    _same_context(asked, question)
    if question.status != "open":
        if not entry.durable and not entry.embedded:
            return await _first_question(activity, asked, path)
        if entry.embedded and not entry.persistent:
            return await _reopen(activity, run, question, asked.messages)
        return await _next_question(activity, asked, run, question)
    if not _equal(asked, question):
        await _add_note(activity, run, asked)
    return await _reopen(activity, run, question, asked.messages)


def _equal(asked: Asked, question: QuestionRecord) -> bool:
    """The recorded input again: the same message, and the same context or none."""
    digest = asked.digest() if asked.context is not None else asked.digest(question.context_digest)
    return digest == question.digest


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
        await activity.attach(*found)
        return await _step(activity, Step(phase="finish", recorded=True), messages)
    return await _reopen(activity, *found, messages)


async def _reopen(
    activity: Activity, run: RunRecord, question: QuestionRecord, messages: Sequence[BaseMessage]
) -> dict[str, Any]:
    if question.status != "open":
        runs = activity.home.runs
        await runs.set_question(run.id, question.number, activity.fence, status="open")
        question = replace(question, status="open", stopped_by=None, result=None)
    await activity.attach(run, question)
    return await _step(activity, Step(phase="generate"), messages)


async def _first_question(activity: Activity, asked: Asked, path: str) -> dict[str, Any]:
    run = RunRecord(uuid.uuid4().hex, activity.entry.thread, path, activity.spec.name, time.time())
    question = await _question(activity, asked, run, 1, None)
    if activity.entry.thread is None:
        await activity.lease(place_of(run))
    await activity.home.runs.create(run, question, activity.fence)
    await activity.attach(run, question)
    return await _step(activity, Step(phase="generate"), asked.messages)


async def _next_question(activity: Activity, asked: Asked, run: RunRecord, before: QuestionRecord) -> dict[str, Any]:
    question = await _question(activity, asked, run, before.number + 1, before)
    await activity.home.runs.add_question(question, activity.fence)
    await activity.attach(run, question)
    return await _step(activity, Step(phase="generate"), asked.messages)


async def _question(
    activity: Activity, asked: Asked, run: RunRecord, number: int, before: QuestionRecord | None
) -> QuestionRecord:
    """The record of a new question; without a context of its own it keeps the one before."""
    home, message = activity.home, asked.message
    assert message is not None
    context, context_digest = asked.context, asked.context_digest
    if context is not None:
        context = dict(await home.read(home.corpora.adopt, context))
    elif before is not None:
        context, context_digest = before.context, before.context_digest
    head = await home.read(home.turns.head, run.id)
    return QuestionRecord(
        run=run.id,
        number=number,
        find_key=_find_key(activity, asked),
        digest=asked.digest(context_digest),
        message={"id": message.id, "text": text_of(message), "content": message.content},
        earlier=asked.earlier,
        context=context,
        context_digest=context_digest,
        first_turn=1 if head is None else head.number + 1,
        genesis=keys.genesis(run.id, number),
        created=time.time(),
    )


def _with_question(question: QuestionRecord, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The update that brings the question's message where the state lost it: before what was said since."""
    if any(message.id == question.message["id"] for message in messages):
        return []
    asked = HumanMessage(content=question.message["content"], id=question.message["id"])
    at = last_human(messages)
    if at is None:
        return [asked]
    return [RemoveMessage(id=REMOVE_ALL_MESSAGES), *messages[:at], asked, *messages[at:]]


async def _step(activity: Activity, step: Step, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """The state after `prepare`: who we are, where the chain's head is, what comes next."""
    home, run, question = activity.home, activity.run, activity.question
    head = await home.read(home.turns.head, run.id)
    activity.emit(
        "run.started",
        thread=run.thread,
        question=question.number,
        isolation=activity.spec.kernel.isolation,
        durable=activity.entry.durable,
        resumed_turns=0 if head is None else max(0, head.number - question.first_turn + 1),
    )
    return {
        "messages": _with_question(question, messages),
        "rlm_run": {"home": home.id, "run": run.id, "question": question.number, "genesis": question.genesis},
        "rlm_head": None if head is None else head.id,
        "rlm_step": step,
    }
