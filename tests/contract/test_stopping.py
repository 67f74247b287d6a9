"""A run that is drained, as LangGraph calls it, ends cleanly: what is under way is recorded, the rest is resumed."""

import asyncio
import uuid
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.errors import GraphDrained
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import RunControl

from rlm_agent import Home, Limits, create_rlm_agent
from rlm_agent.testing import ScriptedModel

CALLS = 30
CONFIG: Any = {"configurable": {"thread_id": "stopped"}}
ASKED: Any = {"messages": [("user", "q")]}
BATCH = f"```python\nreplies = llm_batch([f'item {{i}}' for i in range({CALLS})])\n```"
READY = '```python\nanswer["content"] = [[str(r), r.error] for r in replies]\nanswer["ready"] = True\n```'


class Stopped:
    """An agent whose model asks for a drain in the middle of what it was asked.

    Args:
        tools: the sub-agents make three model calls and two tool calls each.
        when: the model call in the course of which the drain is requested.
    """

    def __init__(self, path: Path, tools: bool = False, when: int = 12) -> None:
        self.home, self.control, self.when = Home(path), RunControl(), when
        self.asked: Counter[str] = Counter()
        self.measured: Counter[str] = Counter()
        self.agent = create_rlm_agent(
            ScriptedModel(replies=self.root),
            [self.tool()] if tools else [],
            sub_model=ScriptedModel(replies=self.sub, delay=0.02),
            limits=Limits(concurrency=4),
            home=self.home,
            checkpointer=self.home.checkpointer,
        )

    def tool(self) -> Any:
        def measure(what: str) -> str:
            """Measures."""
            self.measured[what] += 1
            return f"<{what}>"

        return measure

    def root(self, messages: list[Any]) -> str:
        return BATCH if sum(m.type == "ai" for m in messages) == 0 else READY

    def sub(self, messages: list[Any]) -> Any:
        prompt = next(m.content for m in messages if m.type == "human")
        tools = [str(m.content) for m in messages if m.type == "tool"]
        self.asked[f"{prompt} {len(tools)}"] += 1
        if self.asked.total() == self.when:
            self.control.request_drain("SIGTERM")
        if self.agent.spec.tools and len(tools) < 2:
            call = {"name": "measure", "args": {"what": f"{prompt} {len(tools)}"}, "id": uuid.uuid4().hex}
            return AIMessage("", tool_calls=[call])
        return f"{prompt} {tools}"

    def invoke(self, given: Any, entry: str, **kwargs: Any) -> Any:
        if entry == "sync":
            return self.agent.invoke(given, CONFIG, **kwargs)
        return asyncio.run(self.agent.ainvoke(given, CONFIG, **kwargs))


@pytest.fixture
def made(tmp_path: Path) -> Any:
    homes: list[Stopped] = []

    def make(**options: Any) -> Stopped:
        homes.append(Stopped(tmp_path / f"home-{len(homes)}", **options))
        return homes[-1]

    yield make
    for stopped in homes:
        stopped.home.close()


@pytest.mark.parametrize("durability", ["sync", "exit"])
@pytest.mark.parametrize("entry", ["sync", "async"])
def test_a_drain_in_a_batch(made: Any, entry: str, durability: Any) -> None:
    stopped = made()
    with pytest.raises(GraphDrained, match="SIGTERM"):
        stopped.invoke(ASKED, entry, control=stopped.control, durability=durability)
    (run,) = stopped.home.runs.list()
    begun = stopped.asked.total()
    assert 12 <= begun < 12 + 4, "no call is begun after the request"
    assert stopped.home.ledger.count(run.id, "slot") == begun, "what was under way is recorded"
    out = stopped.invoke(None, entry, durability=durability)
    assert out["rlm"]["content"] == [[f"item {i} []", None] for i in range(CALLS)]
    assert set(stopped.asked.values()) == {1}


def test_a_drain_within_sub_agents_with_tools(made: Any) -> None:
    stopped = made(tools=True, when=7)  # the first four have two calls left or one
    with pytest.raises(GraphDrained):
        stopped.invoke(ASKED, "sync", control=stopped.control)
    begun = stopped.asked.total()
    assert 7 <= begun < 7 + 4
    out = stopped.invoke(None, "sync")
    assert [error for _, error in out["rlm"]["content"]] == [None] * CALLS, "no slot failed because of the drain"
    assert stopped.asked.total() == 3 * CALLS
    assert set(stopped.asked.values()) == {1}
    assert set(stopped.measured.values()) == {1}
    assert len(stopped.measured) == 2 * CALLS


def test_a_drain_between_replies_without_code(made: Any) -> None:
    stopped = made()
    replies = iter(["no code", "```python\nanswer['content'] = 1\nanswer['ready'] = True\n```"])

    def root(messages: list[Any]) -> str:
        stopped.asked["root"] += 1
        stopped.control.request_drain()
        return next(replies)

    agent = create_rlm_agent(ScriptedModel(replies=root), home=stopped.home, checkpointer=stopped.home.checkpointer)
    with pytest.raises(GraphDrained):
        agent.invoke(ASKED, CONFIG, control=stopped.control)
    assert stopped.asked["root"] == 1
    assert agent.invoke(None, CONFIG)["rlm"]["content"] == 1
    assert stopped.asked["root"] == 2


class Host(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    rlm: dict[str, Any]


def test_a_parent_that_is_drained(made: Any) -> None:
    stopped = made()
    agent = create_rlm_agent(
        ScriptedModel(replies=stopped.root),
        sub_model=ScriptedModel(replies=stopped.sub, delay=0.02),
        limits=Limits(concurrency=4),
        home=stopped.home,
    )
    parent: Any = StateGraph(Host)
    parent.add_node("research", agent)
    parent.add_edge(START, "research")
    graph = parent.compile(checkpointer=stopped.home.checkpointer)
    with pytest.raises(GraphDrained):
        graph.invoke(ASKED, CONFIG, control=stopped.control)
    assert stopped.asked.total() < 12 + 4
    out = graph.invoke(None, CONFIG)
    assert out["rlm"]["content"] == [[f"item {i} []", None] for i in range(CALLS)]
    assert set(stopped.asked.values()) == {1}
