"""Children: agents with a REPL of their own that answer the `rlm()` calls of a cell.

Owns: the run of each call, found again by the call's ledger key, and driven through the nodes of the state machine
within the `sub_agent` task that carries the call. Invariant: a child's turns are a chain of its own; what it pays is on
its parent's account, under keys that descend from the call's, so that it is resumed as exactly as its parent, and a
fork that makes the call again pays for nothing twice. Failure is a slot with `ok=False`, never an exception.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained

from rlm_agent import keys
from rlm_agent.budget import ModelUse
from rlm_agent.children.activity import ChildActivity
from rlm_agent.children.specs import child_spec
from rlm_agent.entries.activity import Activity
from rlm_agent.entries.draining import check_drain
from rlm_agent.errors import HomeError, RLMError
from rlm_agent.human.answers import WaitsForPerson
from rlm_agent.models.chat import model_name
from rlm_agent.nodes.check_answer import check_answer
from rlm_agent.nodes.execute_repl import execute_repl
from rlm_agent.nodes.finish import finish
from rlm_agent.nodes.generate_code import generate_code
from rlm_agent.nodes.sub_agent import sub_agent
from rlm_agent.spec import AgentSpec
from rlm_agent.state import Step
from rlm_agent.store.records import QuestionRecord, RunRecord, StepRecord, TurnRecord
from rlm_agent.sub_agents.performing import silent
from rlm_agent.sub_agents.sources import sources_in
from rlm_agent.sub_agents.sub_calls import failed_slot
from rlm_agent.turns.answers import answer_content, answer_text

__all__ = ["perform_child"]

_NODES: Mapping[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "generate": generate_code,
    "execute": execute_repl,
    "check": check_answer,
}
_State = dict[str, Any]


async def perform_child(parent: Activity, key: str, call: Mapping[str, Any], turn: int, config: RunnableConfig) -> None:
    """Answers one call of `rlm()` that is not recorded yet, and leaves its body in `parent.results`.

    Where the child waits for a person nothing of it is a slot: the keys of the answers are left in `parent.humans`.

    Args:
        parent: of whose cell the call is.
        key: of the call.
        call: its plain input: the prompt, the handle of a context, options.
        turn: number of the parent's turn.
        config: of the task that carries the call.

    Raises:
        HomeError: the outcome could not be recorded, or the child cannot be restored.
        GraphDrained: the run is to stop and the slot has no outcome.
    """
    spec = child_spec(parent.spec, call)
    try:
        async with parent.shared.children(parent.depth):
            check_drain()
            slot = await _slot(parent, spec, key, call, turn, silent(config))
    except WaitsForPerson as waits:
        parent.humans[key] = waits.keys
        return
    run, question = parent.run.id, parent.question.number
    step = StepRecord(key, run, question, turn, "slot", "", slot, at=time.time())
    parent.results[key] = (await parent.record(step)).body


async def _slot(
    parent: Activity, spec: AgentSpec, key: str, call: Mapping[str, Any], turn: int, config: RunnableConfig
) -> dict[str, Any]:
    """Works until the child has answered or cannot; what it did by then is on record."""
    began = time.monotonic()
    run, question = await _found(parent, key, call)
    child = ChildActivity(spec, parent, run, question, turn)
    try:
        return {**await _answer(child, call, config), "seconds": round(time.monotonic() - began, 3)}
    except (HomeError, GraphDrained, WaitsForPerson):
        raise
    except RLMError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a provider or the host's code raises costs this slot only
        problem = " ".join(f"{type(error).__name__}: {error}".split())
    finally:
        await child.close()
    await parent.home.runs.set_question(run.id, 1, parent.fence, status="stopped", stopped_by="failed")
    failed = failed_slot(problem, model=model_name(spec.root), seconds=time.monotonic() - began)
    return {**failed, "text": await _so_far(child), **await _paid(child)}


async def _found(parent: Activity, key: str, call: Mapping[str, Any]) -> tuple[RunRecord, QuestionRecord]:
    """The run of this call: recorded before anything is paid for it."""
    home, run = parent.home, parent.run
    if (found := await home.read(home.runs.child, run.id, key)) is not None:
        return found
    path = f"{run.path}>{key[:32]}"
    own = RunRecord(uuid.uuid4().hex, run.thread, path, run.name, time.time(), run.salt, parent=run.id, call=key)
    question = _question(own.id, key, call)
    if question.context is not None:
        await home.read(home.corpora.adopt, question.context)
    await home.runs.create(own, question, parent.fence)
    return own, question


def _question(run: str, key: str, call: Mapping[str, Any]) -> QuestionRecord:
    context, prompt = call.get("context"), call["prompt"]
    digest = "" if context is None else str(context["digest"])
    return QuestionRecord(
        run=run,
        number=1,
        find_key=None,
        digest=keys.question_digest(prompt, digest),
        message={"id": keys.digest("asked", key)[:32], "text": prompt, "content": prompt},
        earlier=[],
        context=None if context is None else dict(context),
        context_digest=digest,
        first_turn=1,
        genesis=keys.child_genesis(key),
        created=time.time(),
    )


async def _answer(child: Activity, call: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
    state = await _entered(child)
    try:
        async with asyncio.timeout(call.get("timeout")):
            state = await _driven(child, state, config)
    except TimeoutError:
        head = await _head(child)
        ended_by = {"rlm_head": head.id if head else None, "rlm_step": Step(phase="finish", stopped_by="timeout")}
        state = {**state, **ended_by}
    ended = (await finish(child, state, config))["rlm"]
    text = answer_text(ended["content"])
    problem = "" if ended["ready"] else _stopped(ended, call)
    slot = {**failed_slot(problem, model=model_name(child.spec.root)), "text": text, **await _paid(child)}
    if problem:
        return slot
    response = child.spec.response
    return {**slot, "ok": True, "error": None, "data": response.parse(ended["content"])[0] if response else None}


def _stopped(ended: Mapping[str, Any], call: Mapping[str, Any]) -> str:
    """Why a child's answer is none, or not all of it."""
    by = f"its time of {call.get('timeout'):g} s" if ended["stopped_by"] == "timeout" else ended["stopped_by"]
    return f"the child was stopped by {by} after {ended['turns']} turns; the text is its answer so far"


async def _entered(child: Activity) -> _State:
    """The state that the child goes on from."""
    home, run, question = child.home, child.run, child.question
    head = await _head(child)
    if child.entry.rebuild and head is not None:
        from rlm_agent.turns.rebuild import rebuild  # few entries need it

        await rebuild(child, await home.read(home.turns.chain, head.id))
    step = Step(phase="finish", recorded=True) if question.result is not None else Step(phase=_phase(head))
    done = 0 if head is None else head.number
    child.emit(
        "run.started",
        thread=run.thread,
        question=1,
        isolation=child.spec.kernel.isolation,
        durable=child.entry.durable,
        resumed_turns=done,
        parent=run.parent,
    )
    reference = {"home": home.id, "run": run.id, "question": 1, "genesis": question.genesis}
    return {"rlm_run": reference, "rlm_head": None if head is None else head.id, "rlm_step": step}


def _phase(head: TurnRecord | None) -> str:
    return "check" if head is not None and head.answer["ready"] else "generate"


async def _head(child: Activity) -> TurnRecord | None:
    return await child.home.read(child.home.turns.head, child.run.id)


async def _so_far(child: Activity) -> str:
    """What the answer of a child that failed was after its last whole turn."""
    head = await _head(child)
    return "" if head is None else answer_text(await answer_content(child.home, head.answer))


async def _driven(child: Activity, state: _State, config: RunnableConfig) -> _State:
    """Goes from node to node, as LangGraph does for the parent, until the child is to finish."""
    while (step := state["rlm_step"])["phase"] != "finish":
        check_drain()
        if step.get("chunks"):
            await _ask_below(child, state, config)
            state = {**state, "rlm_step": {**step, "chunks": []}}
        elif step.get("humans"):
            raise WaitsForPerson(tuple(step["humans"]))
        else:
            state = {**state, **await _NODES[step["phase"]](child, state, config)}
    return state


async def _ask_below(child: Activity, state: _State, config: RunnableConfig) -> None:
    shared = {"rlm_run": state["rlm_run"], "rlm_turn": state["rlm_step"]["turn"]}
    try:
        async with asyncio.TaskGroup() as group:
            for chunk in state["rlm_step"]["chunks"]:
                group.create_task(sub_agent(child, {**shared, "rlm_chunk": chunk}, config))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _paid(child: Activity) -> dict[str, Any]:
    """What the child used, its own children included, and what the tools below it read."""
    ledger, call, use = child.home.ledger, child.run.call or "", ModelUse()
    for row in await child.home.read(ledger.call_usage, call):
        use.add(row)
    slots = await child.home.read(ledger.of_call, call, "slot")
    return {"usage": use.plain() if use.calls else None, "sources": sources_in(slot.body for slot in slots)}
