"""The agent: `create_rlm_agent` and the state machine it builds.

    prepare -> generate_code -> execute_repl -> ((sub_agent x N | approve x M) -> execute_repl)* -> check_answer
    check_answer -> generate_code | finish

Nodes are in `nodes/`, one file each; what is alive while they run is in `activity.py`; what was paid is in the home.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from rlm_agent.activity import Activities, Activity
from rlm_agent.bridge import both_forms
from rlm_agent.compiled import RLMGraph
from rlm_agent.nodes.approve import approve
from rlm_agent.nodes.check_answer import check_answer
from rlm_agent.nodes.execute_repl import execute_repl
from rlm_agent.nodes.finish import finish
from rlm_agent.nodes.generate_code import generate_code
from rlm_agent.nodes.prepare import prepare
from rlm_agent.nodes.sub_agent import sub_agent
from rlm_agent.options import home_opener, resolve_options
from rlm_agent.settings import Budget, Limits
from rlm_agent.spec import AgentSpec
from rlm_agent.state import schemas

if TYPE_CHECKING:
    from rlm_agent.repl.kernel import Kernel
    from rlm_agent.repl_code import ReplCode
    from rlm_agent.store.home import Home

__all__ = ["create_rlm_agent"]

_NODES = {
    "prepare": prepare,
    "generate_code": generate_code,
    "execute_repl": execute_repl,
    "sub_agent": sub_agent,
    "approve": approve,
    "check_answer": check_answer,
    "finish": finish,
}
_NEXT = {"generate": "generate_code", "execute": "execute_repl", "check": "check_answer", "finish": "finish"}


def create_rlm_agent(
    model: str | BaseChatModel,
    tools: Sequence[BaseTool | Callable[..., Any] | str] = (),
    *,
    sub_model: str | BaseChatModel | None = None,
    models: Mapping[str, str | BaseChatModel] | None = None,
    system_prompt: str | None = None,
    tips: Sequence[str] = (),
    repl_functions: "Sequence[Callable[..., Any] | ReplCode]" = (),
    sub_middleware: Sequence[Any] = (),
    response_format: Any = None,
    check: Callable[[Any], str | None] | None = None,
    budget: Budget | None = None,
    limits: Limits | None = None,
    kernel: "str | Callable[[Limits], Kernel]" = "process",
    home: "Home | str | os.PathLike[str] | None" = None,
    max_depth: int = 1,
    interrupt_on: Mapping[str, Any] | None = None,
    input_key: str | None = "context",
    code_via: Literal["auto", "fences", "tool"] = "auto",
    checkpointer: Any = None,
    store: Any = None,
    cache: Any = None,
    context_schema: type | None = None,
    name: str = "rlm",
    debug: bool = False,
) -> RLMGraph:
    """Builds a Recursive Language Model as a compiled LangGraph graph (Zhang, Kraska, Khattab, arXiv 2512.24601).

    The root `model` never reads the large input: it writes Python that runs in a persistent REPL where the input is
    the variable `context`, hands pieces to sub-agents with `llm_batch`, and edits `answer` until it is ready. Every
    turn, with its variables, and every paid reply is recorded in the home, so that a run killed anywhere goes on.

    Args:
        model: the root: "openai:gpt-5" (any name that `init_chat_model` knows), "offline", or a chat model.
        tools: of the sub-agents only: LangChain tools, functions, and names of installed plugins, with settings after a
            colon: "web", "files:roots=./docs" (`rlm tools` lists them; docs/plugins.md).
        sub_model: of the sub-agents; default: the root's.
        models: more sub-agent models, that a slot may choose by name.
        system_prompt: guidance added to the built-in prompt.
        tips: strategies added to the prompt before `system_prompt`: names (`rlm tips` lists them), or texts.
        repl_functions: host functions or tools, bound in the REPL by name. Their arguments come from the model. A
            `rlm_agent.repl_code.ReplCode` brings functions that run in the REPL itself.
        sub_middleware: LangChain middleware of sub-agents that have tools.
        response_format: pydantic model, TypedDict or JSON schema that `answer["content"]` must match.
        check: called with the content when `ready` is set; returns None or a complaint that the root reads.
        budget: bounds of one question; default `Budget()`.
        limits: sizes and times; default `Limits()`.
        kernel: where cells run: "process"; "bwrap", which is a process in bubblewrap, where that is installed; or a
            factory `(limits) -> Kernel`, called once (docs/kernels.md).
        home: where turns, blobs, ledger and leases live: a `Home`, a path, or None for `$RLM_HOME` or the platform's
            user data directory. Opened on first use.
        max_depth: 0: no sub-calls; 1: sub-agents; n of 2 and more: `rlm()` children, agents with REPLs of their own,
            down to depth n; those at depth n make no sub-calls (docs/recursion.md).
        interrupt_on: what needs a person's word first (docs/approvals.md): a tool's name, "llm_batch" or "ask_human" ->
            True, or LangChain's `InterruptOnConfig`; `when` of "llm_batch" is `over(calls=100, usd=5)` or a function of
            a `BatchView`. Needs a checkpointer.
        input_key: the state key that brings the large input; None: no input.
        code_via: "tool" binds the root to one tool, python(code); "auto" and "fences" ask for fenced blocks. Whatever
            was asked for, fenced blocks and calls of that tool are both read.
        checkpointer: None inherits a parent's; a saver; True or False as in LangGraph.
        store: LangGraph's store, for the sub-agents' tools.
        cache: LangGraph's node cache.
        context_schema: of the runtime `context`, for the sub-agents' tools.
        name: of the graph, the final message and, with thread and path, the run.
        debug: LangGraph's debug output.

    Returns:
        A graph with the input {"messages", input_key} and the output {"messages", "structured_response", "rlm"}.

    Raises:
        ConfigError: an option cannot work; the message names it and says what to do.
        ToolError: a plugin is broken, or refuses its settings.
    """
    spec = resolve_options(
        model=model,
        tools=tools,
        sub_model=sub_model,
        models=models,
        system_prompt=system_prompt,
        tips=tips,
        repl_functions=repl_functions,
        sub_middleware=sub_middleware,
        response_format=response_format,
        check=check,
        budget=budget or Budget(),
        limits=limits or Limits(),
        kernel=kernel,
        open_home=home_opener(home),
        max_depth=max_depth,
        interrupt_on=interrupt_on,
        input_key=input_key,
        code_via=code_via,
        context_schema=context_schema,
        name=name,
    )
    activities = Activities()
    builder = _state_machine(spec, activities, response_format)
    compiled = builder.compile(checkpointer=checkpointer, store=store, cache=cache, debug=debug, name=name)
    return RLMGraph(spec=spec, activities=activities, **vars(compiled))


def _state_machine(spec: AgentSpec, activities: Activities, response_format: Any) -> StateGraph[Any, Any, Any, Any]:
    shapes = schemas(spec.input_key, response_format if isinstance(response_format, type) else Any)
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(
        shapes["state"],
        context_schema=spec.context_schema,
        input_schema=shapes["input"],
        output_schema=shapes["output"],
    )
    for name, node in _NODES.items():
        builder.add_node(name, both_forms(_with_activity(activities, node), name))
    builder.add_edge(START, "prepare")
    for name in ("prepare", "generate_code", "check_answer"):
        builder.add_conditional_edges(name, _route, ["generate_code", "execute_repl", "check_answer", "finish"])
    after_cell = ["sub_agent", "approve", "execute_repl", "generate_code", "check_answer", "finish"]
    builder.add_conditional_edges("execute_repl", _route_cell, after_cell)
    builder.add_edge("sub_agent", "execute_repl")
    builder.add_edge("approve", "execute_repl")
    builder.add_edge("finish", END)
    return builder


def _with_activity(activities: Activities, node: Callable[..., Any]) -> Callable[..., Any]:
    async def run(state: Any, config: RunnableConfig) -> Any:
        activity: Activity = activities.of(config)
        with activity.working():
            return await node(activity, state, config)

    return run


def _route(state: Mapping[str, Any]) -> str:
    """The next node by the step's phase."""
    return _NEXT[state["rlm_step"]["phase"]]


def _route_cell(state: Mapping[str, Any]) -> str | list[Send]:
    """After a cell: to sub-agents while it waits, one task a chunk; to a person, one a question; else by phase."""
    step = state["rlm_step"]
    chunks, humans = step.get("chunks"), step.get("humans")
    if not chunks and not humans:
        return _route(state)
    shared = {"rlm_run": state["rlm_run"], "rlm_turn": step["turn"]}
    if chunks:
        return [Send("sub_agent", {**shared, "rlm_chunk": chunk}) for chunk in chunks]
    return [Send("approve", {**shared, "rlm_human": key}) for key in humans]
