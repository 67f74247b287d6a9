"""Replies that must match a schema: one that does not is shown to its model once, with what is wrong with it.

Invariant: the first reply and the repaired one are paid for, and recorded, each under a key of its own, before the slot
is; a resume asks for neither again. There is no second repair.
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from rlm_agent import keys
from rlm_agent.budget import ModelUse
from rlm_agent.errors import HomeError, RLMError
from rlm_agent.models.endings import shortcoming
from rlm_agent.models.messages import dump, load
from rlm_agent.prompts import render
from rlm_agent.store.records import StepRecord

if TYPE_CHECKING:
    from rlm_agent.sub_agents.performing import SubCall

__all__ = ["ask_with_schema", "repaired"]


async def ask_with_schema(call: "SubCall", config: RunnableConfig) -> StepRecord:
    """The slot of a plain call that has a schema. A reply that needs no repair is the slot's own record."""
    started, key = time.monotonic(), keys.inner_key(call.key, "model", "reply", 0)

    async def keep(reply: AIMessage, seconds: float) -> StepRecord:
        step, use = call.paid(call.step("slot", {}), reply, seconds), ModelUse()
        use.add(step)
        slot = call.slot(reply, use.plain(), seconds)
        if _is_misfit(call, reply, slot):
            return await call.activity.record(replace(step, key=key, kind="model", body={"message": dump(reply)}))
        return await call.activity.record(replace(step, body=slot))

    step = await _known(call, key) or await call.ask(call.messages(), config, keep)
    if step.kind == "slot":
        return step
    usage = ModelUse()
    usage.add(step)
    return await repaired(call, config, load(step.body["message"]), usage, started)


async def repaired(
    call: "SubCall", config: RunnableConfig, reply: BaseMessage, usage: ModelUse, started: float
) -> StepRecord:
    """The slot of a recorded last reply, repaired where it does not match the schema.

    Args:
        usage: of the slot so far; a repair is added.
        started: when the slot was begun, by `time.monotonic`.
    """
    slot = call.slot(reply, usage.plain(), time.monotonic() - started)
    if _is_misfit(call, reply, slot):
        slot = await _repair(call, config, slot, usage, started)
    return await call.activity.record(call.step("slot", slot))


async def _repair(
    call: "SubCall", config: RunnableConfig, slot: dict[str, Any], usage: ModelUse, started: float
) -> dict[str, Any]:
    key = keys.inner_key(call.key, "model", "repair", 0)
    asked = [
        *call.messages(),
        AIMessage(slot["text"] or "(empty)"),
        HumanMessage(render("repair", problem=slot["error"])),
    ]

    async def keep(reply: AIMessage, seconds: float) -> StepRecord:
        return await call.activity.record(call.paid(call.step("model", {"message": dump(reply)}, key), reply, seconds))

    try:
        step = await _known(call, key) or await call.ask(asked, config, keep)
    except HomeError:
        raise
    except RLMError as error:
        return {**slot, "error": f"{slot['error']} (no repair: {error})"}
    usage.add(step)
    return call.slot(load(step.body["message"]), usage.plain(), time.monotonic() - started)


async def _known(call: "SubCall", key: str) -> StepRecord | None:
    home = call.activity.home
    step: StepRecord | None = await home.read(home.ledger.get, key)
    return step


def _is_misfit(call: "SubCall", reply: BaseMessage, slot: dict[str, Any]) -> bool:
    """Whether a whole reply does not match the schema."""
    whole = not (isinstance(reply, AIMessage) and shortcoming(reply))
    return call.spec.get("schema") is not None and whole and not slot["ok"]
