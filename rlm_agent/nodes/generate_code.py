"""generate_code: the root's next reply, from the ledger when it was paid for, else asked and recorded."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from rlm_agent import keys
from rlm_agent.bridge import sync_only_executor
from rlm_agent.budget import Unaffordable
from rlm_agent.entries.activity import Activity
from rlm_agent.entries.draining import check_drain
from rlm_agent.models.calls import ModelCall, make
from rlm_agent.models.chat import ask, model_name, usage_of
from rlm_agent.models.messages import dump
from rlm_agent.root.prompt import root_messages
from rlm_agent.root.replies import PYTHON_TOOL, parsed, reminder_for, reply_body
from rlm_agent.state import Step
from rlm_agent.store.notes import Note
from rlm_agent.store.records import StepRecord

__all__ = ["generate_code"]

SPARE_STEPS = 5


@dataclass(frozen=True, slots=True)
class _Turn:
    """The turn that is to be written."""

    number: int
    before: str
    notes: tuple[Note, ...]
    salt: str

    def key(self, attempt: int) -> str:
        """The ledger key of its n-th reply."""
        return keys.root_key(self.before, self.number, attempt, [note.id for note in self.notes], self.salt)


async def generate_code(activity: Activity, state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
    """The node."""
    await activity.attach_state(state)
    await activity.load_chain(state.get("rlm_head"))
    await activity.load_extensions()
    activity.warn()
    turn = await _next_turn(activity)
    pending: list[tuple[str, str]] = []
    for attempt in range(activity.spec.limits.malformed):
        step = await activity.home.read(activity.home.ledger.get, turn.key(attempt))
        if step is None:
            if (bound := _bound(activity, state)) is not None:
                return _finish(bound)
            _started(activity, turn)
            try:
                step = await _ask(activity, turn, attempt, pending, config)
            except Unaffordable:
                return _finish("budget")
        if parsed(step).blocks:
            _started(activity, turn)
            return {"rlm_step": _execute(turn, attempt)}
        pending.append((step.body["text"], reminder_for(step)))
    return _finish("malformed")


def _started(activity: Activity, turn: _Turn) -> None:
    """Says once that the turn began, before its first reply is waited for."""
    if activity.number != turn.number:
        activity.emit("turn.started", number=turn.number)


def _execute(turn: _Turn, attempt: int) -> Step:
    keys_before = [turn.key(earlier) for earlier in range(attempt)]
    return Step(
        phase="execute",
        turn=turn.number,
        before=turn.before,
        reply=turn.key(attempt),
        false_starts=keys_before,
        chunks=[],
    )


def _finish(bound: str) -> dict[str, Any]:
    return {"rlm_step": Step(phase="finish", stopped_by=bound)}


def _bound(activity: Activity, state: Mapping[str, Any]) -> str | None:
    """What forbids one more root call: a bound of the budget, or LangGraph's steps running out."""
    if state.get("rlm_remaining", 10**9) < SPARE_STEPS + 3:
        return "recursion_limit"
    bound = activity.exhausted()
    return bound if bound in (None, "turns") else "budget"


async def _next_turn(activity: Activity) -> _Turn:
    head = activity.chain[-1] if activity.chain else None
    question = activity.question
    before = head.lineage if head is not None and head.question == question.number else question.genesis
    number = 1 if head is None else head.number + 1
    return _Turn(number, before, await _notes(activity, before, number), activity.run.salt)


async def _notes(activity: Activity, before: str, number: int) -> tuple[Note, ...]:
    """The notes that the turn reads: those recorded for it, or, before its first request, those chosen now."""
    home, run = activity.home, activity.run
    recorded = await home.read(home.ledger.get, keys.notes_key(before, number, run.id))
    ids = await _choose_notes(activity, before, number) if recorded is None else recorded.body["ids"]
    unmarked = set(ids) - {note.id for note in activity.notes if note.turn is not None}
    if unmarked:
        await home.commit(home.notes.mark_op(run.id, sorted(unmarked), number), fence=activity.fence)
        activity.notes = await home.read(home.notes.list, run.id)
    return tuple(note for note in activity.notes if note.id in ids)


async def _choose_notes(activity: Activity, before: str, number: int) -> list[int]:
    """All unread notes, or where a fork has none of its own those that its origin's turn read; recorded.

    A turn that was asked for without notes stays without them: its reply may be acted on already.
    """
    home, run = activity.home, activity.run
    asked = await home.read(home.ledger.get, keys.root_key(before, number, 0, [], run.salt))
    if asked is not None and asked.run == run.id:
        return []
    ids = [note.id for note in await home.read(home.notes.unread, run.id)]
    ids = ids or await _origins_notes(activity, before, number)
    if ids or asked is not None:
        key = keys.notes_key(before, number, run.id)
        step = StepRecord(key, run.id, activity.question.number, number, "notes", "", {"ids": ids}, at=time.time())
        await activity.record(step)
    return ids


async def _origins_notes(activity: Activity, before: str, number: int) -> list[int]:
    if activity.run.forked_from is None:
        return []
    home = activity.home
    origins = await home.read(home.runs.descent, activity.run.forked_from)
    wanted = [keys.notes_key(before, number, run) for run in origins]
    found = await home.read(home.ledger.get_many, wanted)
    return next((found[key].body["ids"] for key in wanted if key in found), [])


async def _ask(
    activity: Activity, turn: _Turn, attempt: int, pending: Sequence[tuple[str, str]], config: RunnableConfig
) -> StepRecord:
    """Asks the root and records its reply before anyone acts on it."""
    check_drain()
    model, messages = activity.spec.root, root_messages(activity, pending)
    metadata = {**(config.get("metadata") or {}), "rlm_role": activity.role}
    asked = RunnableConfig(metadata=metadata, tags=list(config.get("tags") or []))
    tools = [PYTHON_TOOL] if activity.spec.code_tool else None

    async def send() -> AIMessage:
        own = activity.spec.limits.sub_tries == 1
        return await ask(model, messages, config=asked, tools=tools, executor=sync_only_executor(), retries=own)

    async def keep(reply: AIMessage, seconds: float) -> StepRecord:
        return await activity.record(_step(activity, turn, attempt, reply, seconds))

    return await make(ModelCall(activity, activity.role, model, messages, send, keep))


def _step(activity: Activity, turn: _Turn, attempt: int, reply: AIMessage, seconds: float) -> StepRecord:
    use = usage_of(reply, activity.spec.root)
    return StepRecord(
        key=turn.key(attempt),
        run=activity.run.id,
        question=activity.question.number,
        turn=turn.number,
        kind="root",
        role=activity.role,
        body={**reply_body(reply), "message": dump(reply)},
        model=model_name(activity.spec.root),
        calls=1,
        input_tokens=use.input_tokens,
        output_tokens=use.output_tokens,
        cached_tokens=use.cached_tokens,
        usd=use.usd,
        seconds=round(seconds, 3),
        at=time.time(),
    )
