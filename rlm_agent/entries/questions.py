"""Questions as `prepare` takes them up: what a caller asks, a new record of it, or a recorded one opened again.

Invariant: a question is recorded before anything is paid for it. Which of these an entry means is `prepare`'s decision.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, RemoveMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from rlm_agent import keys
from rlm_agent.crash_points import reach
from rlm_agent.entries.activity import Activity, place_of
from rlm_agent.errors import ConfigError
from rlm_agent.models.chat import text_of
from rlm_agent.models.messages import conversation, last_human, spoken
from rlm_agent.state import Step
from rlm_agent.store.records import QuestionRecord, RunRecord, TurnRecord

__all__ = [
    "Asked",
    "enter",
    "find_key",
    "first_question",
    "give_recorded",
    "is_equal",
    "next_question",
    "read_asked",
    "reopen",
]


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


def is_equal(asked: Asked, question: QuestionRecord) -> bool:
    """The recorded input again: the same message, and the same context or none."""
    digest = asked.digest() if asked.context is not None else asked.digest(question.context_digest)
    return digest == question.digest


def find_key(activity: Activity, asked: Asked) -> str | None:
    """Under which a parent's re-run of the calling step finds the question again."""
    entry = activity.entry
    return keys.digest("find", entry.task, asked.digest()) if entry.embedded else None


async def give_recorded(
    activity: Activity, run: RunRecord, question: QuestionRecord, messages: Sequence[BaseMessage]
) -> dict[str, Any]:
    """Gives the recorded result of a question that is finished."""
    await activity.attach(run, question)
    return await enter(activity, Step(phase="finish", recorded=True), messages)


async def reopen(
    activity: Activity, run: RunRecord, question: QuestionRecord, messages: Sequence[BaseMessage]
) -> dict[str, Any]:
    """Goes on with a recorded question."""
    if question.status != "open":
        runs = activity.home.runs
        await runs.set_question(run.id, question.number, activity.fence, status="open")
        question = replace(question, status="open", stopped_by=None, result=None)
    await activity.attach(run, question)
    reach("resume.reopened")
    return await enter(activity, Step(phase=await _reopened_at(activity)), messages)


async def _reopened_at(activity: Activity) -> str:
    """Where a question goes on: at the check, where the run's own last turn was ready and nothing was said since."""
    head = await activity.home.read(activity.home.turns.head, activity.run.id)
    own = head is not None and (head.run, head.question) == (activity.run.id, activity.question.number)
    unread = any(note.turn is None for note in activity.notes)
    return "check" if head is not None and own and head.answer["ready"] and not unread else "generate"


async def first_question(activity: Activity, asked: Asked, path: str) -> dict[str, Any]:
    """Records a new run with its first question. Its context is taken up under the lease, which `rlm gc` respects."""
    run = RunRecord(uuid.uuid4().hex, activity.entry.thread, path, activity.spec.name, time.time())
    if activity.entry.thread is None:
        await activity.lease(place_of(run))
    question = await _question(activity, asked, run, 1, None)
    await activity.home.runs.create(run, question, activity.fence)
    await activity.attach(run, question)
    return await enter(activity, Step(phase="generate"), asked.messages)


async def next_question(
    activity: Activity, asked: Asked, run: RunRecord, before: QuestionRecord | None
) -> dict[str, Any]:
    """Records a further question of a run; `before` is the one whose context it keeps."""
    questions = await activity.home.read(activity.home.runs.questions, run.id)
    question = await _question(activity, asked, run, questions[-1].number + 1, before)
    await activity.home.runs.add_question(question, activity.fence)
    await activity.attach(run, question)
    return await enter(activity, Step(phase="generate"), asked.messages)


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
        find_key=find_key(activity, asked),
        digest=asked.digest(context_digest),
        message={"id": message.id, "text": text_of(message), "content": message.content},
        earlier=asked.earlier,
        context=context,
        context_digest=context_digest,
        first_turn=1 if head is None else head.number + 1,
        genesis=keys.genesis(run.id, number),
        created=time.time(),
        parent=None if head is None else head.id,
    )


def _with_question(question: QuestionRecord, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The update that brings the question's message where the state lost it: before what was said since."""
    if any(message.id == question.message["id"] for message in messages):
        return []
    asked = HumanMessage(content=question.message["content"], id=question.message["id"])
    if not messages:
        return [*spoken(question.earlier, lambda n: keys.digest("earlier", question.genesis, n)[:32]), asked]
    at = last_human(messages)
    if at is None:
        return [asked]
    return [RemoveMessage(id=REMOVE_ALL_MESSAGES), *messages[:at], asked, *messages[at:]]


async def _rebuilt(activity: Activity, head: TurnRecord) -> dict[str, list[int]]:
    """Makes snapshots again that cannot be restored, and tells which."""
    from rlm_agent.turns.rebuild import rebuild  # few entries need it

    made = await rebuild(activity, await activity.home.read(activity.home.turns.chain, head.id))
    if made.lost:
        activity.emit("variables.lost", variables=list(made.lost))
    return {"rebuilt": list(made.turns), "differs": list(made.differs)}


def _replaced(activity: Activity, head: TurnRecord | None) -> dict[str, str]:
    """The head that a checkpoint named, where the home's is another: its writer may have lost the run meanwhile."""
    loaded = activity.loaded_head
    return {} if loaded is None or (head is not None and loaded == head.id) else {"replaced_head": loaded}


async def enter(activity: Activity, step: Step, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """The state after `prepare`: who we are, where the chain's head is, what comes next."""
    home, run, question = activity.home, activity.run, activity.question
    head = await home.read(home.turns.head, run.id)
    rebuilt = await _rebuilt(activity, head) if activity.entry.rebuild and head is not None else {}
    activity.emit(
        "run.started",
        thread=run.thread,
        question=question.number,
        # The first look starts the zygote.
        isolation=await asyncio.to_thread(lambda: activity.spec.kernel.isolation),
        durable=activity.entry.durable,
        resumed_turns=0 if head is None else max(0, head.number - question.first_turn + 1),
        **rebuilt,
        **_replaced(activity, head),
    )
    return {
        "messages": _with_question(question, messages),
        "rlm_run": {"home": home.id, "run": run.id, "question": question.number, "genesis": question.genesis},
        "rlm_head": None if head is None else head.id,
        "rlm_step": step,
    }
