"""What `create_rlm_agent` was given, checked and resolved: one frozen value that all nodes of an agent share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from rlm_agent.human.approvals import Approvals
from rlm_agent.repl.kernel import Kernel
from rlm_agent.repl_code import ReplCode
from rlm_agent.settings import Budget, Limits

if TYPE_CHECKING:
    from rlm_agent.store.home import Home
    from rlm_agent.sub_agents.schemas import ResponseFormat

__all__ = ["AgentSpec"]


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent.

    Attributes:
        name: of the graph and of the final message.
        root: the root model.
        sub: the sub-agents' model where a slot names none.
        models: those that a slot may name.
        tools: the sub-agents' tools, by name.
        system_prompt: guidance added to the built-in prompt, or "".
        tips: the texts of strategies, that stand before it.
        repl_functions: host functions, by the name that the REPL binds.
        repl_code: sources whose functions the REPL binds.
        sub_middleware: LangChain middleware of the sub-agents.
        response: the checked form of `response_format`.
        check: (content) -> None or a complaint.
        code_tool: the root gives code as calls of a tool `python`; fenced blocks are read all the same.
        depth_left: levels below this agent, `max_depth` at the top; 0: no sub-calls.
        children: `rlm()` may be called.
        approvals: what needs a person's word.
        open_home: the home, opened on first use.
        kernel: where cells run.
    """

    name: str
    root: BaseChatModel
    sub: BaseChatModel
    models: Mapping[str, BaseChatModel]
    tools: Mapping[str, BaseTool]
    system_prompt: str
    tips: tuple[str, ...]
    repl_functions: Mapping[str, Callable[..., Any]]
    repl_code: tuple[ReplCode, ...]
    sub_middleware: tuple[Any, ...]
    response: "ResponseFormat | None"
    check: Callable[[Any], str | None] | None
    budget: Budget
    limits: Limits
    code_tool: bool
    depth_left: int
    children: bool
    approvals: Approvals
    open_home: "Callable[[], Home]"
    kernel: Kernel
    input_key: str | None
    context_schema: type | None

    @property
    def sub_calls(self) -> bool:
        """Whether cells may ask sub-agents."""
        return self.depth_left > 0
