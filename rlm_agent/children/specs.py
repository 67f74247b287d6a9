"""What a child is made of: its parent's agent, a level deeper, with the options of the call. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rlm_agent.errors import ConfigError
from rlm_agent.spec import AgentSpec
from rlm_agent.sub_agents.schemas import ResponseFormat

__all__ = ["child_spec"]


def child_spec(spec: AgentSpec, call: Mapping[str, Any]) -> AgentSpec:
    """The agent of a child.

    Its root is the model that the call names, else the sub-agents' model. What is the parent's task and no other's
    (`system_prompt`, `check`, `response_format`) is not the child's; tips, tools, host functions and gates are.

    Args:
        spec: the parent's.
        call: plain input of the call, checked: "model", "tools", "schema", "system", "max_turns".

    Raises:
        ConfigError: the call was made by an agent with other models or tools than this one.
    """
    try:
        root = spec.sub if call.get("model") is None else spec.models[call["model"]]
        tools = spec.tools if call.get("tools") is None else {name: spec.tools[name] for name in call["tools"]}
    except KeyError as error:
        raise ConfigError(
            f"The run was started with a model or tool named {error}, which this agent does not have: create it with "
            "the same models and tools to resume."
        ) from error
    below, schema = spec.depth_left - 1, call.get("schema")
    return replace(
        spec,
        root=root,
        tools=tools,
        system_prompt=call.get("system") or "",
        response=None if schema is None else ResponseFormat(schema),
        check=None,
        budget=replace(spec.budget, turns=_least(spec.budget.turns, call.get("max_turns"))),
        depth_left=below,
        children=below > 0,
    )


def _least(bound: int | None, asked: int | None) -> int | None:
    return min((each for each in (bound, asked) if each is not None), default=None)
