"""Several agents in one host: side by side, twice in one parent, in a loop, as a deepagents subagent, memory kept."""

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import RetryPolicy, Send

from rlm_agent import create_rlm_agent, runs
from rlm_agent.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "many"}}
COUNT = """```python
n = globals().get("n", 0) + 1
answer["content"] = f"{task} {n}"
answer["ready"] = True
```"""


def agent(**options: Any) -> Any:
    return create_rlm_agent(ScriptedModel(replies=lambda _: COUNT), input_key=None, **options)


def merge(left: dict[str, Any] | None, right: dict[str, Any]) -> dict[str, Any]:
    return {**(left or {}), right["run"]: right["content"]}


class Host(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    rlm: Annotated[dict[str, Any], merge]
    structured_response: Annotated[Any, lambda a, b: b]
    step: Annotated[int, operator.add]


def test_two_agents_side_by_side_with_a_reducer() -> None:
    graph = StateGraph(Host)
    for name in ("law", "costs"):
        graph.add_node(name, agent(name=name))
        graph.add_edge(START, name)
    out = graph.compile(checkpointer=InMemorySaver()).invoke({"messages": [("user", "q")]}, THREAD)
    assert sorted(out["rlm"].values()) == ["q 1", "q 1"]
    assert sorted(m.name for m in out["messages"] if m.type == "ai") == ["costs", "law"]
    assert len(runs("many")) == 2


def test_one_agent_twice_in_one_parent() -> None:
    graph, made = StateGraph(Host), agent()
    graph.add_node("first", made)
    graph.add_node("second", made)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    out = graph.compile(checkpointer=InMemorySaver()).invoke({"messages": [("user", "q")]}, THREAD)
    assert sorted(out["rlm"].values()) == ["q 1", "q 1"], "each visit is a run of its own"
    assert [m.content for m in out["messages"]] == ["q", "q 1", "q 1"]


def looped(made: Any) -> Any:
    """A parent that visits the agent three times."""
    graph = StateGraph(Host)
    graph.add_node("research", made)
    graph.add_node("count", lambda state: {"step": 1})
    graph.add_edge(START, "research")
    graph.add_edge("research", "count")
    graph.add_conditional_edges("count", lambda state: END if state["step"] == 3 else "research")
    return graph.compile(checkpointer=InMemorySaver())


def test_each_visit_of_a_loop_is_a_run_of_its_own_by_default() -> None:
    out = looped(agent()).invoke({"messages": [("user", "q")]}, THREAD)
    assert sorted(out["rlm"].values()) == ["q 1", "q 1", "q 1"]
    assert len(runs("many")) == 3


def test_with_checkpointer_true_all_visits_are_one_run() -> None:
    out = looped(agent(checkpointer=True)).invoke({"messages": [("user", "q")]}, THREAD)
    assert list(out["rlm"].values()) == ["q 3"], "the same REPL at every visit"
    (run,) = runs("many")
    assert [q.number for q in run.questions] == [1, 2, 3]


def test_equal_inputs_of_two_tasks_of_one_step_are_two_runs() -> None:
    graph = StateGraph(Host)
    graph.add_node("research", agent())
    graph.add_conditional_edges(START, lambda s: [Send("research", {"messages": s["messages"]})] * 2, ["research"])
    out = graph.compile(checkpointer=InMemorySaver()).invoke({"messages": [("user", "q")]}, THREAD)
    assert len(out["rlm"]) == 2
    assert len(runs("many")) == 2


def test_two_calls_in_one_task_are_two_runs() -> None:
    made = agent()

    def node(state: Host) -> dict[str, Any]:
        found = [made.invoke({"messages": [("user", "same")]})["rlm"]["run"] for _ in range(2)]
        return {"rlm": {"run": "runs", "content": found}}

    graph = StateGraph(Host)
    graph.add_node("work", node)
    graph.add_edge(START, "work")
    out = graph.compile(checkpointer=InMemorySaver()).invoke({"messages": []}, THREAD)
    assert len(set(out["rlm"]["runs"])) == 2


def test_a_hosts_retry_of_the_task_pays_nothing_again() -> None:
    root, failures = ScriptedModel(replies=lambda _: COUNT), [True, True]
    made = create_rlm_agent(root, input_key=None)

    def node(state: Host) -> dict[str, Any]:
        found = [made.invoke({"messages": [("user", "same")]})["rlm"] for _ in range(2)]
        if failures:
            failures.pop()
            raise ConnectionError("the host's own trouble")
        return {"rlm": {"run": "runs", "content": [one["run"] for one in found]}}

    graph = StateGraph(Host)
    graph.add_node("work", node, retry_policy=RetryPolicy(initial_interval=0.01, max_attempts=5))
    graph.add_edge(START, "work")
    out = graph.compile(checkpointer=InMemorySaver()).invoke({"messages": []}, THREAD)
    assert len(set(out["rlm"]["runs"])) == 2
    assert root.calls == 2, "three attempts of the task, two questions, each paid once"
    assert len(runs("many")) == 2


@pytest.mark.extras
def test_a_deepagents_compiled_subagent() -> None:
    import deepagents

    def main(messages: list[Any]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(f"subagent said: {messages[-1].text}")
        args = {"description": "count", "subagent_type": "reader"}
        return AIMessage("", tool_calls=[{"name": "task", "args": args, "id": "1"}])

    sub = {"name": "reader", "description": "Reads large inputs.", "runnable": agent()}
    host = deepagents.create_deep_agent(model=ScriptedModel(replies=main), subagents=[sub])
    out = host.invoke({"messages": [("user", "go")]}, THREAD)
    assert out["messages"][-1].text == "subagent said: count 1"
