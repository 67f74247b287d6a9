"""One sub-call, performed: a plain call goes straight to the model, one with tools is a `create_agent` of its own.

Invariant: a failure is a slot with `ok=False`, never an exception; a slot's outcome is recorded before anyone sees it,
and a call keeps its place among the run's concurrent calls until the fsync that covers its record.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained

from rlm_agent.bridge import sync_only_executor
from rlm_agent.budget import ModelUse
from rlm_agent.entries.activity import Activity
from rlm_agent.entries.draining import check_drain
from rlm_agent.entries.entry import SUB_TOKENS_KEY
from rlm_agent.errors import ConfigError, HomeError, RLMError
from rlm_agent.human.answers import WaitsForPerson
from rlm_agent.models.calls import Keep, ModelCall, Send, make
from rlm_agent.models.chat import ask, model_name, text_of, usage_of
from rlm_agent.models.endings import shortcoming
from rlm_agent.prompts import render
from rlm_agent.store.records import StepRecord
from rlm_agent.sub_agents.repairs import ask_with_schema, repaired
from rlm_agent.sub_agents.schemas import parse_json, validate
from rlm_agent.sub_agents.sub_calls import failed_slot

__all__ = ["SubCall", "perform", "silent"]


class SubCall:
    """One slot while it is worked on. `sources` is what its tools have read so far."""

    def __init__(self, activity: Activity, key: str, spec: Mapping[str, Any], turn: int) -> None:
        self.activity, self.key, self.spec, self.turn = activity, key, spec, turn
        self.sources: list[dict[str, Any]] = []
        self.limit: asyncio.Timeout | None = None
        name = spec.get("model")
        agent = activity.spec
        names = agent.tools if spec.get("tools") is None else spec["tools"]
        try:
            self.model: BaseChatModel = agent.sub if name is None else agent.models[name]
            self.tools = [agent.tools[tool] for tool in names]
        except KeyError as error:
            raise ConfigError(
                f"The run was started with a model or tool named {error}, which this agent does not have: create it "
                "with the same models and tools to resume."
            ) from error

    @property
    def seconds(self) -> float:
        """The call's time limit."""
        limit = self.activity.spec.limits.sub_seconds
        return float(min(limit, self.spec.get("timeout") or limit))

    @property
    def max_turns(self) -> int:
        """Model turns it may take."""
        limit = self.activity.spec.limits.sub_turns
        return int(min(self.spec.get("max_turns") or limit, limit))

    def messages(self) -> list[BaseMessage]:
        """What the sub-agent sees: its prompt, and a system text where it was given one, tools or a schema."""
        system = [self.spec["system"]] if self.spec.get("system") else []
        if self.tools and not system:
            system.append(render("sub_agent", sub_turns=self.max_turns))
        if self.spec.get("schema") is not None:
            system.append(render("schema", schema=json.dumps(self.spec["schema"], ensure_ascii=False)))
        head: list[BaseMessage] = [SystemMessage("\n\n".join(system))] if system else []
        return [*head, HumanMessage(self.spec["prompt"])]

    @property
    def own_retries(self) -> bool:
        """Whether trying again is the client's business."""
        return self.activity.spec.limits.sub_tries == 1

    async def ask(self, messages: Sequence[BaseMessage], config: RunnableConfig, keep: Keep) -> StepRecord:
        """One model call of this slot without tools; returns what `keep` recorded."""
        quiet, executor = silent(config), sync_only_executor()

        async def send() -> AIMessage:
            return await ask(self.model, messages, config=quiet, executor=executor, retries=self.own_retries)

        return await make(self.model_call(messages, send, keep))

    def model_call(self, messages: Sequence[BaseMessage], send: Send, keep: Keep, tools: Any = ()) -> ModelCall:
        """A model call on this slot's time."""
        return ModelCall(self.activity, "sub", self.model, messages, send, keep, tools, self.limit)

    def step(self, kind: Any, body: dict[str, Any], key: str | None = None) -> StepRecord:
        """A ledger row of this slot that costs nothing."""
        run, question = self.activity.run.id, self.activity.question.number
        return StepRecord(key or self.key, run, question, self.turn, kind, "", body, at=time.time())

    def paid(self, step: StepRecord, reply: AIMessage, seconds: float) -> StepRecord:
        """The row with the model call's tokens and cost on the sub-agents' account."""
        use = usage_of(reply, self.model)
        return replace(
            step,
            role="sub",
            model=model_name(self.model),
            calls=1,
            input_tokens=use.input_tokens,
            output_tokens=use.output_tokens,
            cached_tokens=use.cached_tokens,
            usd=use.usd,
            seconds=round(seconds, 3),
        )

    def slot(self, reply: BaseMessage, usage: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
        """The slot of a last message: whether it is a whole answer, and matches the schema where one was given."""
        problem = shortcoming(reply) if isinstance(reply, AIMessage) else ""
        slot = {
            **failed_slot(problem, model=model_name(self.model), seconds=seconds),
            "text": text_of(reply),
            "ok": not problem,
            "error": problem or None,
            "usage": usage,
            "sources": self.sources,
        }
        schema = self.spec.get("schema")
        if schema is None or problem:
            return slot
        try:
            slot["data"] = parse_json(slot["text"])
        except ValueError as error:
            return {**slot, "ok": False, "error": f"the reply holds no JSON: {error}"}
        complaints = validate(slot["data"], schema)
        return {**slot, "ok": not complaints, "error": "; ".join(complaints) or None}


async def perform(activity: Activity, key: str, spec: Mapping[str, Any], turn: int, config: RunnableConfig) -> None:
    """Performs one slot that is not recorded yet, and leaves its body in `activity.results`.

    Where it waits for a person nothing of it is a slot: the keys of the answers are left in `activity.humans`.

    Raises:
        HomeError: the outcome could not be recorded; nothing after it may be trusted.
        GraphDrained: the run is to stop and the slot has no outcome; its recorded steps are kept.
    """
    try:
        stored = await _within_limits(SubCall(activity, key, spec, turn), config)
    except WaitsForPerson as waits:
        activity.humans[key] = waits.keys
    else:
        activity.results[key] = stored.body


async def _within_limits(call: SubCall, config: RunnableConfig) -> StepRecord:
    check_drain()
    # A plain call waits in its model call; a tool agent that has not begun holds nothing but its place in this queue.
    async with call.activity.shared.agents if call.tools else nullcontext():
        check_drain()
        return await _outcome(call, config, time.monotonic())


async def _outcome(call: SubCall, config: RunnableConfig, started: float) -> StepRecord:
    try:
        async with asyncio.timeout(call.seconds) as call.limit:
            return await (_with_tools(call, config, started) if call.tools else _plain(call, config))
    except TimeoutError:
        problem = f"no answer within {call.seconds:g} s"
    except (HomeError, GraphDrained, WaitsForPerson):
        raise
    except RLMError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a provider, a tool or a middleware raises costs this slot only
        problem = " ".join(f"{type(error).__name__}: {error}".split())
    name = model_name(call.model)
    failed = failed_slot(problem, model=name, seconds=time.monotonic() - started)
    return await call.activity.record(call.step("slot", {**failed, "sources": call.sources}))


async def _plain(call: SubCall, config: RunnableConfig) -> StepRecord:
    """The slot's own record carries the reply's cost, unless the reply is to be repaired."""
    if call.spec.get("schema") is not None:
        return await ask_with_schema(call, config)

    async def keep(reply: AIMessage, seconds: float) -> StepRecord:
        step, use = call.paid(call.step("slot", {}), reply, seconds), ModelUse()
        use.add(step)
        return await call.activity.record(replace(step, body=call.slot(reply, use.plain(), seconds)))

    return await call.ask(call.messages(), config, keep)


async def _with_tools(call: SubCall, config: RunnableConfig, started: float) -> StepRecord:
    from rlm_agent.sub_agents.tool_agent import (
        run_tool_agent,  # create_agent is imported only by agents that have tools
    )

    reply, usage = await run_tool_agent(call, silent(config))
    return await repaired(call, config, reply, usage, started)


def silent(config: RunnableConfig) -> RunnableConfig:
    """The node's callbacks, with the sub-agent's tokens kept out of the stream unless the caller asked for them."""
    metadata, tags = {**(config.get("metadata") or {}), "rlm_role": "sub"}, list(config.get("tags") or [])
    if (config.get("configurable") or {}).get(SUB_TOKENS_KEY):
        return RunnableConfig(tags=tags, metadata=metadata, configurable={SUB_TOKENS_KEY: True})
    return RunnableConfig(tags=[*tags, "nostream"], metadata=metadata)
