"""What streams: events under "custom", the root's tokens under "messages", the output schema under "values"."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.memory import InMemoryStore

from rlm_agent import create_rlm_agent
from rlm_agent.testing import ScriptedModel

CELL = """```python
r = llm_batch(["one", "two"])
lock = (i for i in range(3))
answer["content"] = " ".join(r)
answer["ready"] = True
```"""


def agent(**options: Any) -> Any:
    sub = ScriptedModel(replies=lambda m: m[-1].content.upper())
    return create_rlm_agent(ScriptedModel(replies=lambda _: CELL), sub_model=sub, **options)


GIVEN: Any = {"messages": [("user", "go")]}


def check_events(events: list[dict[str, Any]]) -> None:
    kinds = [event["type"] for event in events]
    expected = ["run.started", "turn.started", "code", "batch.started", "sub_agent.finished", "sub_agent.finished"]
    expected += ["batch.finished", "cell.output", "cell.finished", "variables.lost", "answer.updated", "run.finished"]
    assert kinds == expected
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert all({"version", "run", "turn", "depth", "at"} <= set(event) for event in events)
    assert events[0]["isolation"].startswith("files, network, signals closed")
    lost = events[9]["variables"]
    assert [v["name"] for v in lost] == ["lock"]


def test_events_standalone() -> None:
    check_events(list(agent().stream(GIVEN, stream_mode="custom")))


async def test_events_astream() -> None:
    check_events([event async for event in agent().astream(GIVEN, stream_mode="custom")])


def test_values_show_the_output_schema_only() -> None:
    for values in agent().stream(GIVEN, stream_mode="values"):
        assert set(values) <= {"messages", "structured_response", "rlm"}


def test_the_roots_tokens_stream_and_the_sub_agents_are_silent() -> None:
    roles = {meta.get("rlm_role") for _, meta in agent().stream(GIVEN, stream_mode="messages")}
    assert "root" in roles
    assert "sub" not in roles


@dataclass
class Context:
    user: str


class Host(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    rlm: dict[str, Any]


@pytest.fixture
def parent() -> Any:
    graph = StateGraph(Host)
    graph.add_node("research", agent())
    graph.add_edge(START, "research")
    graph.add_edge("research", END)
    return graph.compile(checkpointer=InMemorySaver())


def test_events_in_a_parent_arrive_with_subgraphs(parent: Any) -> None:
    config: Any = {"configurable": {"thread_id": "p"}}
    parts = list(parent.stream(GIVEN, config, stream_mode="custom", subgraphs=True))
    check_events([event for _, event in parts])
    assert all(space and space[0].startswith("research:") for space, _ in parts)


def test_root_tokens_in_a_parent_arrive_and_sub_agents_are_silent(parent: Any) -> None:
    config: Any = {"configurable": {"thread_id": "tokens"}}
    parts = list(parent.stream(GIVEN, config, stream_mode="messages", subgraphs=True))
    roles = {meta.get("rlm_role") for _, (_, meta) in parts}
    assert "root" in roles
    assert "sub" not in roles


SUB_TOKENS = {"rlm_sub_tokens": True}


def sub_texts(parts: Any) -> list[str]:
    """What sub-agents said, each piece as it streamed."""
    return [message.text for message, meta in parts if meta.get("rlm_role") == "sub" and message.text]


async def test_tokens_of_sub_agents_stream_where_they_are_asked_for(parent: Any) -> None:
    config: Any = {"configurable": {"thread_id": "asked", **SUB_TOKENS}}
    parts = list(parent.stream(GIVEN, config, stream_mode="messages", subgraphs=True))
    assert all(space and space[0].startswith("research:") for space, _ in parts)
    assert sorted(sub_texts(part for _, part in parts)) == ["ONE", "TWO"]
    config = {"configurable": {"thread_id": "asked async", **SUB_TOKENS}}
    asked = [part async for _, part in parent.astream(GIVEN, config, stream_mode="messages", subgraphs=True)]
    assert sorted(sub_texts(asked)) == ["ONE", "TWO"]
    assert "root" in {meta.get("rlm_role") for _, meta in asked}


@pytest.mark.parametrize("asked", [True, False])
def test_so_do_those_of_sub_agents_with_tools_and_below_children(asked: bool) -> None:
    @tool
    def look(what: str) -> str:
        """Looks."""
        return f"seen {what}"

    def sub(messages: list[Any]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(f"said {messages[-1].text}")
        if "You are the root" in messages[0].text:
            return AIMessage(root(messages))
        return AIMessage("", tool_calls=[{"name": "look", "args": {"what": messages[-1].text}, "id": "1"}])

    def root(messages: list[Any]) -> str:
        below = "str(llm('low'))" if "child" in messages[1].text else "[str(llm('top')), str(rlm('child'))]"
        return f"```python\nanswer['content'] = {below}\nanswer['ready'] = True\n```"

    made = create_rlm_agent(ScriptedModel(replies=root), [look], sub_model=ScriptedModel(replies=sub), max_depth=2)
    config: Any = {"configurable": SUB_TOKENS} if asked else {}
    said = "".join(sub_texts(part for _, part in made.stream(GIVEN, config, stream_mode="messages", subgraphs=True)))
    assert ("said seen top" in said, "said seen low" in said, bool(said)) == (asked, asked, asked)


def test_a_parents_rerun_of_the_step_gives_the_recorded_result() -> None:
    """The parent fails after our node and has kept nothing of it: its re-run of the step pays nothing again."""
    failing = [True]

    def after(state: Host) -> Host:
        if failing.pop() if failing else False:
            raise RuntimeError("the host's own bug")
        return {}

    root = ScriptedModel(replies=lambda _: CELL)
    graph = StateGraph(Host)
    graph.add_node("research", create_rlm_agent(root, sub_model=ScriptedModel(replies=lambda m: m[-1].content.upper())))
    graph.add_node("after", after)
    graph.add_edge(START, "research")
    graph.add_edge("research", "after")
    parent = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "again"}}
    with pytest.raises(RuntimeError, match="own bug"):
        parent.invoke(GIVEN, config, durability="exit")
    parent.checkpointer.delete_thread("again")
    out = parent.invoke(GIVEN, config, durability="exit")
    assert out["rlm"]["content"] == "ONE TWO"
    assert root.calls == 1


def test_tools_get_the_hosts_context_and_store() -> None:
    @tool
    def who(runtime: ToolRuntime[Context]) -> str:
        """Says who asks."""
        assert runtime.store is not None
        runtime.store.put(("seen",), "who", {"user": runtime.context.user})
        return runtime.context.user

    def sub(messages: list[Any]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(messages[-1].content)
        return AIMessage("", tool_calls=[{"name": "who", "args": {}, "id": "1"}])

    cell = '```python\nanswer["content"] = str(llm("who am I?"))\nanswer["ready"] = True\n```'
    store = InMemoryStore()
    made = create_rlm_agent(
        ScriptedModel(replies=lambda _: cell),
        [who],
        sub_model=ScriptedModel(replies=sub),
        context_schema=Context,
        store=store,
    )
    out = made.invoke(GIVEN, context=Context("박지민"))
    assert out["rlm"]["content"] == "박지민"
    item = store.get(("seen",), "who")
    assert item is not None
    assert item.value == {"user": "박지민"}
