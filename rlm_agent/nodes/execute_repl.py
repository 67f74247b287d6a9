"""execute_repl: runs the turn's cells until they end or wait for sub-agents or a person.

A turn that is recorded is not run again. A live worker that waits is gone on with; where there is none, the namespace
of before the turn is restored and its cells are replayed against the ledger.
"""

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig

from rlm_agent.entries.activity import Activity
from rlm_agent.nodes.generate_code import SPARE_STEPS
from rlm_agent.root.replies import reminder_for
from rlm_agent.state import Step
from rlm_agent.store.records import StepRecord, TurnRecord
from rlm_agent.turns.end import PendingTurn
from rlm_agent.turns.running import TurnRun, Waiting

__all__ = ["WAVE", "execute_repl"]

WAVE = 64


async def execute_repl(activity: Activity, state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
    """The node."""
    await activity.attach_state(state)
    step: Step = state["rlm_step"]
    await activity.load_chain(state.get("rlm_head"))
    await activity.settle()
    if (done := await _recorded(activity, step)) is not None:
        await activity.stand(done.id)
        return _after(activity, done)
    running = await _running(activity, step)
    outcome = await running.advance()
    if isinstance(outcome, TurnRecord):
        return _after(activity, outcome)
    before = running.head.id if running.head is not None else None
    if isinstance(outcome, PendingTurn):
        activity.pend(outcome)
        return {"rlm_head": before, "rlm_step": Step(phase="generate", chunks=[])}
    if state.get("rlm_remaining", 10**9) < SPARE_STEPS + 2:
        return {"rlm_head": before, "rlm_step": Step(phase="finish", stopped_by="recursion_limit")}
    return {"rlm_head": before, "rlm_step": _send(step, outcome)}


def _send(step: Step, waiting: Waiting) -> dict[str, Any]:
    return {**step, "chunks": list(waiting.chunks[:WAVE]), "humans": list(waiting.humans)}


async def _recorded(activity: Activity, step: Step) -> TurnRecord | None:
    home = activity.home
    turn = await home.read(home.turns.by_lineage, activity.run.id, step["before"])
    return turn if turn is not None and turn.reply_key == step["reply"] else None


def _after(activity: Activity, turn: TurnRecord) -> dict[str, Any]:
    if not activity.chain or activity.chain[-1].id != turn.id:
        activity.chain.append(turn)
    phase = "check" if turn.answer["ready"] else "generate"
    return {"rlm_head": turn.id, "rlm_step": Step(phase=phase, chunks=[])}


async def _running(activity: Activity, step: Step) -> TurnRun:
    """The turn that waits in this process, or the turn begun anew."""
    current = activity.turn
    if current is not None and current.reply_key == step["reply"] and not step.get("humans"):
        return current
    reply = await _reply(activity, step["reply"])
    activity.humans.clear()  # a person's answers are on record: what waited for them is planned anew
    fresh = TurnRun(activity, step["turn"], step["before"], reply)
    fresh.false_starts = await _false_starts(activity, step)
    if current is not None:
        await _pass_on(current, fresh)
    activity.turn = fresh
    activity.emit("code", code="\n\n".join(fresh.code.blocks), number=fresh.number)
    return fresh


async def _pass_on(current: TurnRun, fresh: TurnRun) -> None:
    """The live session goes on only where it stands at exactly the head that the new turn descends from."""
    if fresh.head is not None and current.lineage == fresh.before and fresh.head.reply_key == current.reply_key:
        fresh.take_over(current.hand_over())
    else:
        await current.close()


async def _reply(activity: Activity, key: str) -> StepRecord:
    step: StepRecord | None = await activity.home.read(activity.home.ledger.get, key)
    assert step is not None, "a reply is recorded before it is acted on"
    return step


async def _false_starts(activity: Activity, step: Step) -> tuple[tuple[str, str], ...]:
    """The replies without code that came before, as the root will go on seeing them."""
    home, before = activity.home, step["false_starts"]
    found = await home.read(home.ledger.get_many, before)
    return tuple((found[key].body["text"], reminder_for(found[key])) for key in before)
