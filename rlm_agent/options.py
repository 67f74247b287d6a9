"""From the arguments of `create_rlm_agent` to an `AgentSpec`: every option checked, none accepted in silence."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from rlm_agent.errors import ConfigError
from rlm_agent.host_functions.calling import as_function
from rlm_agent.human.approvals import resolve_approvals
from rlm_agent.models.chat import resolve_model
from rlm_agent.repl.kernel import Kernel
from rlm_agent.repl_code import ReplCode
from rlm_agent.root.tips import tip_texts
from rlm_agent.settings import Budget, Limits
from rlm_agent.spec import AgentSpec
from rlm_agent.sub_agents.effects import acts_once
from rlm_agent.sub_agents.toolbox import toolbox

if TYPE_CHECKING:
    from rlm_agent.store.home import Home

__all__ = ["home_opener", "resolve_options"]

_RESERVED = frozenset(
    {
        "context",
        "task",
        "messages",
        "history",
        "answer",
        "llm_batch",
        "llm",
        "rlm",
        "rlm_batch",
        "show_vars",
        "np",
        "numpy",
        "scipy",
        "sympy",
        "ask_human",
        "llm_query",
        "llm_query_batched",
        "rlm_query",
        "rlm_query_batched",
        "SHOW_VARS",
    }
)


def resolve_options(
    *,
    model: str | BaseChatModel,
    tools: Sequence[Any],
    sub_model: str | BaseChatModel | None,
    models: Mapping[str, str | BaseChatModel] | None,
    system_prompt: str | None,
    tips: Sequence[str],
    repl_functions: Sequence[Callable[..., Any] | ReplCode],
    sub_middleware: Sequence[Any],
    response_format: Any,
    check: Callable[[Any], str | None] | None,
    budget: Budget,
    limits: Limits,
    kernel: str | Callable[[Limits], Kernel],
    open_home: "Callable[[], Home]",
    max_depth: int,
    interrupt_on: Mapping[str, Any] | None,
    input_key: str | None,
    code_via: str,
    context_schema: type | None,
    name: str,
) -> AgentSpec:
    """Checks all options and makes the models.

    Raises:
        ConfigError: naming the option.
    """
    _check_depth(max_depth)
    _check_name(name, input_key)
    if code_via not in ("auto", "fences", "tool"):
        raise ConfigError(f"code_via={code_via!r}: give 'auto', 'fences' or 'tool'.")
    box = toolbox(tools)
    repl_code = tuple(item for item in repl_functions if isinstance(item, ReplCode))
    return AgentSpec(
        name=name,
        root=resolve_model(model, role="root"),
        sub=resolve_model(sub_model if sub_model is not None else model, role="sub"),
        models={key: resolve_model(value, role="sub") for key, value in (models or {}).items()},
        tools=box,
        system_prompt=system_prompt or "",
        tips=tip_texts(tips, sub_calls=max_depth > 0),
        repl_functions=_functions([item for item in repl_functions if not isinstance(item, ReplCode)], repl_code),
        repl_code=repl_code,
        sub_middleware=tuple(sub_middleware),
        response=_response(response_format),
        check=check,
        budget=budget,
        limits=limits,
        code_tool=code_via == "tool",
        depth_left=max_depth,
        children=max_depth > 1,
        approvals=resolve_approvals(interrupt_on, box, sub_calls=max_depth > 0),
        open_home=open_home,
        kernel=_kernel(kernel, limits),
        input_key=input_key,
        context_schema=context_schema,
    )


def _check_depth(max_depth: int) -> None:
    if isinstance(max_depth, bool) or not isinstance(max_depth, int) or max_depth < 0:
        what = "0 (no sub-calls), 1 (sub-agents), or n of 2 and more (rlm() children down to depth n)"
        raise ConfigError(f"max_depth={max_depth!r}: give {what}.")


def _check_name(name: str, input_key: str | None) -> None:
    if not isinstance(name, str) or not name or any(sign in name for sign in "|:@"):
        raise ConfigError(f"name={name!r}: give a non-empty name without '|', ':' and '@'.")
    taken = ("messages", "structured_response", "rlm")
    if input_key is not None and (not input_key or input_key in taken or input_key.startswith("rlm_")):
        raise ConfigError(f"input_key={input_key!r}: that key is the agent's own; choose another, or None.")


def _functions(given: Sequence[Callable[..., Any]], code: Sequence[ReplCode]) -> dict[str, Callable[..., Any]]:
    """Host functions by name; those of the REPL's own code have names that are taken, too."""
    functions: dict[str, Callable[..., Any]] = {}
    own = [name for each in code for name in each.functions]
    if wrong := [name for name in own if name in _RESERVED or own.count(name) > 1]:
        raise ConfigError(f"repl_functions: the name {wrong[0]!r} is taken in the REPL; rename the function.")
    for item in given:
        function = as_function(item) if isinstance(item, BaseTool) else item
        name = getattr(function, "__name__", "")
        if not callable(function) or not name.isidentifier():
            raise ConfigError(f"repl_functions: {function!r} is no named function.")
        if name in _RESERVED or name in functions or name in own:
            raise ConfigError(f"repl_functions: the name {name!r} is taken in the REPL; rename the function.")
        acts_once(function)
        functions[name] = function
    return functions


def _response(response_format: Any) -> Any:
    if response_format is None:
        return None
    from rlm_agent.sub_agents.schemas import ResponseFormat

    return ResponseFormat(response_format)


def _kernel(kernel: str | Callable[[Limits], Kernel], limits: Limits) -> Kernel:
    if callable(kernel):
        return kernel(limits)
    if kernel not in ("process", "bwrap"):
        raise ConfigError(f"kernel={kernel!r}: give 'process', 'bwrap', or a factory (limits) -> Kernel.")
    if kernel == "bwrap":
        from rlm_agent.repl.bwrap import BwrapKernel

        return BwrapKernel(limits)
    from rlm_agent.repl.process import ProcessKernel

    return ProcessKernel(limits)


def home_opener(home: "Home | str | os.PathLike[str] | None") -> "Callable[[], Home]":
    """A function that gives the home, without touching the disk now."""
    if home is not None and not isinstance(home, str | os.PathLike):
        return lambda: home

    def opened() -> "Home":
        from rlm_agent.store.home import default_home

        return default_home(home)

    return opened
