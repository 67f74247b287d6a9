"""A sub-agent with tools: `langchain.agents.create_agent`, its model and tool steps in the ledger by one middleware.

A call that needs a person's word, and has none, ends the agent once the other calls of its turn are recorded.
Invariant: each model reply and each tool result is recorded before the agent goes on, so that an agent killed in the
middle is resumed by running it again from its prompt: recorded steps are answered from the ledger.
"""

import contextvars
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.callbacks import BaseCallbackManager
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp, GraphDrained
from langgraph.runtime import get_runtime
from langgraph.types import Command

from rlm_agent import keys
from rlm_agent.budget import ModelUse
from rlm_agent.errors import RLMError, ToolError
from rlm_agent.human.answers import Decision, Pending, WaitsForPerson, reason
from rlm_agent.human.gates import tool_gate
from rlm_agent.models.calls import make
from rlm_agent.models.chat import provider_errors, received
from rlm_agent.models.loops import on_this_loop
from rlm_agent.models.messages import dump, load
from rlm_agent.prompts import render
from rlm_agent.store.records import StepRecord
from rlm_agent.sub_agents.effects import acts_once, begin
from rlm_agent.sub_agents.sources import open_to, sources_in
from rlm_agent.tool_scope import ToolScope, in_scope

if TYPE_CHECKING:
    from rlm_agent.sub_agents.performing import SubCall

__all__ = ["run_tool_agent"]

_current: contextvars.ContextVar["_Steps"] = contextvars.ContextVar("rlm_sub_agent_steps")


class _Steps:
    """The steps of one sub-agent: numbered, recalled, recorded, summed."""

    def __init__(self, call: "SubCall") -> None:
        self.call = call
        self.turns = 0
        self.usage = ModelUse()
        self.artifacts: dict[str, Any] = {}
        self.humans: list[str] = []
        self._seen: dict[str, int] = {}

    def key(self, kind: str, step_input: Any) -> str:
        """The key of a step; identical ones are counted."""
        content = keys.digest(kind, step_input)
        k = self._seen.get(content, 0)
        self._seen[content] = k + 1
        return keys.inner_key(self.call.key, kind, content, k)

    async def recall(self, key: str) -> StepRecord | None:
        """The recorded step of a key; its tokens are the slot's, too."""
        home = self.call.activity.home
        step = await home.read(home.ledger.get, key)
        if step is not None:
            self.usage.add(step)
        return step

    def check(self) -> None:
        """Raises WaitsForPerson where calls of this turn do."""
        if self.humans:
            raise WaitsForPerson(tuple(self.humans))

    async def record(self, step: StepRecord) -> StepRecord:
        """Records a step; its tokens are the slot's, too."""
        stored = await self.call.activity.record(step)
        self.usage.add(stored)
        return stored


class LedgerMiddleware(AgentMiddleware[Any, Any]):
    """Answers model and tool steps from the ledger, or lets them happen and records them."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """One model turn of the sub-agent."""
        steps = _current.get()
        key = steps.key("model", [_plain(message) for message in request.messages])
        steps.turns += 1
        if (known := await steps.recall(key)) is not None:
            return ModelResponse(result=[load(known.body["message"])])
        return await _ask_model(steps, key, request, handler)

    async def awrap_tool_call(
        self, request: Any, handler: Callable[[Any], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """One tool call of the sub-agent; a tool that fails is a message that says so."""
        steps, call = _current.get(), request.tool_call
        key = steps.key("tool", {"name": call["name"], "args": call["args"], "id": call["id"]})
        steps.artifacts[key] = None
        addresses = await open_to(steps.call.activity)
        if (known := await steps.recall(key)) is not None:
            message: ToolMessage = load(known.body["message"])
        else:
            activity = steps.call.activity
            with in_scope(ToolScope(activity.top.run.id, activity.home, addresses)):
                decision = await tool_gate(activity, steps.call.turn, key, request)
                if isinstance(decision, Pending):
                    steps.humans.append(decision.key)
                    return _tool_error(call, "a person has not answered yet")  # nobody reads it: see `_PersonFirst`
                message = await _decided_result(steps, key, decision, request, handler)
            await steps.record(steps.call.step("tool", {"message": dump(message)}, key))
        addresses.add_artifact(message.artifact)
        steps.artifacts[key] = message.artifact
        steps.call.sources = sources_in(steps.artifacts.values())
        return message


async def _ask_model(
    steps: _Steps, key: str, request: ModelRequest[Any], handler: Callable[[Any], Awaitable[ModelResponse[Any]]]
) -> ModelResponse[Any]:
    call = steps.call
    if steps.turns >= call.max_turns:
        request = request.override(tools=[], messages=[*request.messages, HumanMessage(render("last_turn"))])

    async def send() -> AIMessage:
        with provider_errors(call.model):
            model = await on_this_loop(request.model, retries=call.own_retries)
            response = await handler(request.override(model=model))
        last = next((message for message in response.result if isinstance(message, AIMessage)), None)
        reply = received(last, request.messages, call.model)
        if steps.turns >= call.max_turns:
            reply = reply.model_copy(update={"tool_calls": [], "invalid_tool_calls": []})
        return reply

    async def keep(reply: AIMessage, seconds: float) -> StepRecord:
        return await steps.record(call.paid(call.step("model", {"message": dump(reply)}, key), reply, seconds))

    step = await make(call.model_call(request.messages, send, keep, request.tools))
    return ModelResponse(result=[load(step.body["message"])])


class _PersonFirst(AgentMiddleware[Any, Any]):
    """Ends the sub-agent between two model turns where calls wait for a person, before anyone sees a result."""

    async def abefore_model(self, state: Any, runtime: Any) -> None:
        """Before each model turn, and before the same of any other middleware."""
        _current.get().check()


async def _decided_result(
    steps: _Steps, key: str, decision: Decision, request: Any, handler: Callable[[Any], Awaitable[Any]]
) -> ToolMessage:
    """The tool's result, or what a person says in its place."""
    call, kind = request.tool_call, decision["type"]
    if kind == "reject":
        return _tool_error(call, f"a person rejected this call, and it was not run{reason(decision)}")
    if kind == "respond":
        return ToolMessage(content=decision["message"], tool_call_id=call["id"], name=call["name"])
    if kind == "edit":
        args = decision["edited_action"]["args"]
        changed = request.override(tool_call={**call, "args": args})
        return _noted(await _tool_result(steps, key, changed, handler), args)
    return await _tool_result(steps, key, request, handler)


def _noted(message: ToolMessage, args: dict[str, Any]) -> ToolMessage:
    """The result, told to be that of other arguments than the model gave."""
    note = f"(A person changed the arguments of this call before it ran, to {json.dumps(args, ensure_ascii=False)}.)"
    content = message.content
    if isinstance(content, str):
        return message.model_copy(update={"content": f"{note}\n{content}"})
    return message.model_copy(update={"content": [{"type": "text", "text": note}, *content]})


async def _tool_result(steps: _Steps, key: str, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> ToolMessage:
    """Runs the tool, unless it acts once and was begun before."""
    activity, name = steps.call.activity, request.tool_call["name"]
    if acts_once(request.tool) and (why := await begin(activity, key, steps.call.turn, name)) is not None:
        return _tool_error(request.tool_call, why)
    return await _run_tool(request, handler)


async def _run_tool(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> ToolMessage:
    call = request.tool_call
    try:
        result = await handler(request)
    except GraphDrained:
        raise  # a tool that runs a graph of its own was stopped in its middle
    except GraphBubbleUp as error:
        raise ToolError(
            f"the tool {call['name']!r} called interrupt(), which a sub-agent cannot pass on; "
            "ask for approval with create_rlm_agent(interrupt_on=...) instead"
        ) from error
    except RLMError:
        raise
    except Exception as error:  # noqa: BLE001 - a failing tool is for the sub-agent to read, never the end of its slot
        return _tool_error(call, f"{type(error).__name__}: {error}")
    if not isinstance(result, ToolMessage):
        return _tool_error(call, "the tool returned a Command; tools of sub-agents return values")
    return result.model_copy(update={"artifact": _json_or_none(result.artifact)})


def _tool_error(call: Any, text: str) -> ToolMessage:
    return ToolMessage(content=f"Error: {text}", tool_call_id=call["id"], name=call["name"], status="error")


def _json_or_none(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return None


def _plain(message: BaseMessage) -> Any:
    """What of a message is input to the next step: no ids of ours, no usage."""
    calls = [(c["name"], c["args"]) for c in getattr(message, "tool_calls", None) or []]
    return [message.type, message.content, calls, getattr(message, "tool_call_id", None)]


async def run_tool_agent(call: "SubCall", config: RunnableConfig) -> tuple[BaseMessage, ModelUse]:
    """Runs one sub-agent to its end. Returns its last message and its usage."""
    steps, agent = _Steps(call), _agent(call)
    context = get_runtime().context
    given: Any = {"messages": call.messages()}
    config["recursion_limit"] = 10 * call.max_turns + 20
    # It keeps no checkpoints: the host's durability "sync" would have it wait for one that never comes.
    config["configurable"] = {"__pregel_durability": "async"}
    token = _current.set(steps)
    try:
        with _unheard(config):
            out = await agent.ainvoke(given, config, context=context)
    finally:
        _current.reset(token)
    steps.check()
    return out["messages"][-1], steps.usage


_STREAMS = ("StreamMessagesHandler", "StreamMessagesHandlerV2")
"""LangGraph's handlers of streams of messages, which it keeps to itself."""


@contextmanager
def _unheard(config: RunnableConfig) -> Iterator[None]:
    """Keeps a silent agent from LangGraph's stream of messages, which shows what its nodes return for all its tags."""
    ambient = var_child_runnable_config.get()
    callbacks = (ambient or {}).get("callbacks")
    if "nostream" not in config["tags"] or not isinstance(callbacks, BaseCallbackManager):
        yield
        return
    quiet = callbacks.copy()
    for handler in callbacks.handlers:
        if type(handler).__name__ in _STREAMS:
            quiet.remove_handler(handler)
    token = var_child_runnable_config.set({**(ambient or {}), "callbacks": quiet})
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def _agent(call: "SubCall") -> Any:
    """The compiled agent of this model and these tools: compiling takes longer than running it."""
    activity = call.activity
    key = (call.spec.get("model"), tuple(tool.name for tool in call.tools))
    if key not in activity.tool_agents:
        activity.tool_agents[key] = create_agent(
            call.model,
            call.tools,
            middleware=[
                *([_PersonFirst()] if activity.spec.approvals.tools or activity.asked else []),
                LedgerMiddleware(),
                *activity.spec.sub_middleware,
            ],
            context_schema=activity.spec.context_schema,
            checkpointer=False,
            name="sub_agent",
        )
    return activity.tool_agents[key]
