"""The embedding matrix: every entry x saver x place an agent can stand in, with a sub-agent that uses a tool.

A pair that LangGraph forbids (async entry over SqliteSaver, sync entry over AsyncSqliteSaver in that saver's loop) must
raise LangGraph's own error, before anything is paid.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from rlm_agent import Home, create_rlm_agent
from rlm_agent.models.chat import text_of
from rlm_agent.testing import ScriptedModel, read_calls

CELL = """```python
words = context.split()
answers = llm_batch([f"look up {w}" for w in words])
answer["content"] = " ".join(answers)
answer["ready"] = True
```"""
ANSWER = "ALPHA BETA"
CONFIG = {"configurable": {"thread_id": "matrix"}}


@tool
def upper(word: str) -> str:
    """Upper-cases a word."""
    return word.upper()


def sub_reply(messages: list[Any]) -> AIMessage:
    """A sub-agent of two model turns: it calls the tool, then says what the tool said."""
    if isinstance(messages[-1], ToolMessage):
        return AIMessage(messages[-1].content)
    word = messages[-1].content.split()[-1]
    return AIMessage("", tool_calls=[{"name": "upper", "args": {"word": word}, "id": "call-1"}])


def rlm(log: Path, **options: Any) -> Any:
    return create_rlm_agent(
        ScriptedModel(replies=lambda _: CELL, log=log, model_name="root"),
        [upper],
        sub_model=ScriptedModel(replies=sub_reply, log=log, model_name="sub"),
        **options,
    )


class Host(TypedDict, total=False):
    """A parent with keys of the names that a careless agent would touch, all of other types."""

    messages: Annotated[list[Any], add_messages]
    doc: str
    context: int
    answer: list[int]
    usage: str
    head: float
    pending: bool
    rlm: dict[str, Any]


OWN = {"context": 7, "answer": [1, 2], "usage": "mine", "head": 0.5, "pending": True}


def standalone(log: Path, saver: Any) -> tuple[Any, dict[str, Any], Callable[[Any], None]]:
    agent = rlm(log, checkpointer=saver)

    def check(out: Any) -> None:
        assert out["rlm"]["content"] == ANSWER
        assert out["messages"][-1].content == ANSWER
        assert set(out) <= {"messages", "structured_response", "rlm"}

    return agent, {"messages": [("user", "join")], "context": "alpha beta"}, check


def node(log: Path, saver: Any) -> tuple[Any, dict[str, Any], Callable[[Any], None]]:
    parent = StateGraph(Host)
    parent.add_node("research", rlm(log, input_key="doc"))
    parent.add_edge(START, "research")
    parent.add_edge("research", END)

    def check(out: Any) -> None:
        assert out["rlm"]["content"] == ANSWER
        assert {key: out[key] for key in OWN} == OWN
        assert out["messages"][-1].content == ANSWER

    return parent.compile(checkpointer=saver), {"messages": [("user", "join")], "doc": "alpha beta", **OWN}, check


def as_tool(log: Path, saver: Any) -> tuple[Any, dict[str, Any], Callable[[Any], None]]:
    agent = rlm(log)

    @tool
    def research(question: str) -> str:
        """Answers a question from the text."""
        out = agent.invoke({"messages": [("user", question)], "context": "alpha beta"})
        return str(out["messages"][-1].content)

    host = ScriptedModel(
        replies=lambda messages: (
            AIMessage(f"tool said: {messages[-1].content}")
            if isinstance(messages[-1], ToolMessage)
            else AIMessage("", tool_calls=[{"name": "research", "args": {"question": "join"}, "id": "outer"}])
        )
    )

    def check(out: Any) -> None:
        assert text_of(out["messages"][-1]) == f"tool said: {ANSWER}"

    return create_agent(host, [research], checkpointer=saver), {"messages": [("user", "go")]}, check


SHAPES = {"standalone": standalone, "node of a parent": node, "tool of create_agent": as_tool}
SAVERS = (
    *("none", "memory", "sqlite", "async sqlite", "home"),
    *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres", "async postgres")),
)
SYNC = ("invoke", "stream", "stream_events")
ASYNC = ("ainvoke", "astream", "astream_events")
POSTGRES = "RLM_TEST_POSTGRES"


async def opened(saver: str, path: Path, stack: AsyncExitStack) -> Any:
    if saver == "memory":
        return InMemorySaver()
    if saver == "home":
        return stack.enter_context(Home(path / "saver")).checkpointer
    if saver == "sqlite":
        return stack.enter_context(SqliteSaver.from_conn_string(str(path / "cp.db")))
    if saver == "async sqlite":
        return await stack.enter_async_context(AsyncSqliteSaver.from_conn_string(str(path / "cp.db")))
    if saver == "postgres":
        from langgraph.checkpoint.postgres import PostgresSaver

        made = stack.enter_context(PostgresSaver.from_conn_string(os.environ[POSTGRES]))
        await asyncio.to_thread(made.setup)
        return made
    if saver == "async postgres":
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        amade = await stack.enter_async_context(AsyncPostgresSaver.from_conn_string(os.environ[POSTGRES]))
        await amade.setup()
        return amade
    return None


def config(saver: str, path: Path) -> Any:
    """A thread of the test's own: a server outlives it."""
    return None if saver == "none" else {"configurable": {"thread_id": str(path)}}


def in_other_loop(saver: str, path: Path, work: Callable[[Any], Any]) -> Any:
    """Runs `work(saver)` in this thread while an async saver lives in a loop of another."""
    ready, done, box = threading.Event(), threading.Event(), []

    async def hold() -> None:
        async with AsyncExitStack() as stack:
            box.append(await opened(saver, path, stack))
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    ready.wait()
    try:
        return work(box[0])
    finally:
        done.set()
        thread.join()


def enter(entry: str, graph: Any, given: Any, config: Any) -> Any:
    if entry == "invoke":
        return graph.invoke(given, config)
    if entry == "stream":
        return list(graph.stream(given, config, stream_mode="values"))[-1]
    run = graph.stream_events(given, config, version="v3")
    for _ in run:
        pass
    return run.output


async def aenter(entry: str, graph: Any, given: Any, config: Any) -> Any:
    if entry == "ainvoke":
        return await graph.ainvoke(given, config)
    if entry == "astream":
        return [part async for part in graph.astream(given, config, stream_mode="values")][-1]
    events = [event async for event in graph.astream_events(given, config, version="v2")]
    return events[-1]["data"]["output"]


def calls_per_model(log: Path) -> tuple[int, int]:
    models = [call.model for call in read_calls(log, "reply")]
    return models.count("root"), models.count("sub")


@pytest.mark.parametrize("entry", SYNC)
@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_sync(shape: str, saver: str, entry: str, tmp_path: Path, matrix: Any) -> None:
    log = tmp_path / "calls.jsonl"

    def work(made: Any) -> None:
        graph, given, check = SHAPES[shape](log, made)
        check(enter(entry, graph, given, config(saver, tmp_path)))

    in_other_loop(saver, tmp_path, work)
    assert calls_per_model(log) == (1, 4)
    matrix(shape, saver, entry, "passed")


@pytest.mark.parametrize("entry", ASYNC)
@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_async(shape: str, saver: str, entry: str, tmp_path: Path, matrix: Any) -> None:
    log = tmp_path / "calls.jsonl"
    async with AsyncExitStack() as stack:
        graph, given, check = SHAPES[shape](log, await opened(saver, tmp_path, stack))
        if saver in ("sqlite", "postgres"):
            with pytest.raises(NotImplementedError):
                await aenter(entry, graph, given, config(saver, tmp_path))
            assert calls_per_model(log) == (0, 0)
            matrix(shape, saver, entry, "NotImplementedError of LangGraph")
            return
        check(await aenter(entry, graph, given, config(saver, tmp_path)))
    assert calls_per_model(log) == (1, 4)
    matrix(shape, saver, entry, "passed")


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_invoke_inside_a_running_loop(shape: str, saver: str, tmp_path: Path, matrix: Any) -> None:
    log = tmp_path / "calls.jsonl"
    async with AsyncExitStack() as stack:
        graph, given, check = SHAPES[shape](log, await opened(saver, tmp_path, stack))
        if saver.startswith("async "):
            with pytest.raises(asyncio.InvalidStateError):
                graph.invoke(given, config(saver, tmp_path))
            assert calls_per_model(log) == (0, 0)
            matrix(shape, saver, "invoke in a loop", "InvalidStateError of LangGraph")
            return
        check(graph.invoke(given, config(saver, tmp_path)))
    assert calls_per_model(log) == (1, 4)
    matrix(shape, saver, "invoke in a loop", "passed")
