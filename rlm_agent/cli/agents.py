"""From what a command names to an agent: models made, bounds settled, both said before anything is paid."""

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rlm_agent.cli.outcome import View, resume_command
from rlm_agent.cli.starts import AGENT, Start, load_start, save_start
from rlm_agent.cli.terminal import counted, one_line, say
from rlm_agent.settings import Budget

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.types import Interrupt

    from rlm_agent.compiled import RLMGraph
    from rlm_agent.store.home import Home

__all__ = ["Prepared", "prepare_agent"]

DEFAULT_USD = 5.0
DEFAULT_SUB_CALLS = 500


@dataclass(frozen=True, slots=True)
class Prepared:
    """An agent that is ready to be entered on its thread.

    Attributes:
        agent: the graph.
        start: what it was made of, with its bounds settled.
        remarks: what the user is told first.
    """

    agent: "RLMGraph"
    start: Start
    remarks: tuple[str, ...]

    def waiting(self) -> "Sequence[Interrupt]":
        """What of the thread waits for a person."""
        return self.agent.get_state({"configurable": {"thread_id": self.start.thread}}).interrupts

    def announce(self, home: "Home", view: View) -> None:
        """Says what is about to run, and how to go on with it; a new thread is recorded before anything is paid."""
        if load_start(home, self.start.thread) is None:
            save_start(home, self.start)
        if view.quiet:
            return
        thread = self.start.thread
        say(f"thread {one_line(thread)}; go on with it at any time: {resume_command(thread, view)}")
        for remark in self.remarks:
            say(remark)


def prepare_agent(home: "Home", start: Start, given: Set[str], *, fresh: bool) -> Prepared:
    """Makes the models and the agent.

    Args:
        home: where the run lives.
        start: names and bounds.
        given: the bounds that the user named, which stand.
        fresh: a new question, other models, or a thread that was not started here: the default bounds apply.

    Raises:
        ConfigError: a model cannot be made; the line says what to do.
    """
    from rlm_agent.models.chat import resolve_model

    root = resolve_model(start.model, role="root")
    sub = resolve_model(start.sub_model or start.model, role="sub")
    bounded, remarks = _bounded(start, given, [root, sub]) if fresh else (start, [])
    if "offline" in (start.model, start.sub_model):
        from rlm_agent.offline import NOTICE

        remarks = [f"No language model is used by 'offline'. {NOTICE}", *remarks]
    agent = _maker(start.agent)(
        root,
        **({"tools": start.tools} if start.tools else {}),
        sub_model=sub,
        tips=start.tips,
        budget=bounded.budget,
        interrupt_on={"ask_human": True} if start.ask else None,
        max_depth=start.max_depth,
        home=home,
        checkpointer=home.checkpointer,
        name=AGENT,
    )
    return Prepared(agent, bounded, (*remarks, *_elsewhere(start)))


def _maker(agent: str) -> "Callable[..., RLMGraph]":
    if agent:
        from rlm_agent.ready_made import agent_maker

        return agent_maker(agent)
    from rlm_agent.agent import create_rlm_agent

    return create_rlm_agent


def _elsewhere(start: Start) -> list[str]:
    """Paths in the settings of tools are read from where the command runs."""
    if not any(":" in tool for tool in start.tools) or start.directory in ("", os.getcwd()):
        return []
    started = one_line(start.directory)
    return [f"started in {started}: relative paths in --tool settings are read from here now"]


def _bounded(start: Start, given: Set[str], models: "list[BaseChatModel]") -> tuple[Start, list[str]]:
    """The start with the bound that nobody set: 5 USD, or 500 sub-calls where the price of a model is unknown."""
    unpriced = [model for model in models if not _has_price(model)]
    budget = start.budget
    if unpriced:
        if "sub_calls" not in given and budget.sub_calls == Budget().sub_calls:
            budget = replace(budget, sub_calls=DEFAULT_SUB_CALLS)
        bound = "not bounded" if budget.sub_calls is None else f"bounded by {counted(budget.sub_calls, 'sub-call')}"
        remark = f"price of {_name(unpriced[0])} unknown: {bound}, money is not counted (--budget sub_calls=N)"
    elif "usd" in given or budget.usd is not None:
        return start, []
    else:
        budget = replace(budget, usd=DEFAULT_USD)
        remark = f"bounded by {DEFAULT_USD:g} USD (--budget usd=N changes it)"
    return replace(start, budget=budget), [remark]


def _name(model: "BaseChatModel") -> str:
    from rlm_agent.models.chat import model_name

    return one_line(model_name(model))


def _has_price(model: "BaseChatModel") -> bool:
    from langchain_core.messages import AIMessage
    from langchain_core.messages.ai import UsageMetadata

    from rlm_agent.models.chat import usage_of

    usage = UsageMetadata(input_tokens=1000, output_tokens=1000, total_tokens=2000)
    return usage_of(AIMessage("", usage_metadata=usage), model).usd is not None
