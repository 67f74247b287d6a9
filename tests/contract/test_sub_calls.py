"""`llm_batch` through the whole graph: slots, options, failures, threads, concurrency, host functions."""

import threading
import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.types import interrupt

from rlm_agent import Budget, Limits, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel


def run(cell: str, sub: Any = None, **options: Any) -> Any:
    """One cell whose `out` is the answer's content."""
    code = f'```python\n{cell}\nanswer["content"] = out\nanswer["ready"] = True\n```'
    model = sub if isinstance(sub, ScriptedModel) else ScriptedModel(replies=sub or (lambda m: m[-1].content.upper()))
    agent = create_rlm_agent(ScriptedModel(replies=lambda _: code), sub_model=model, **options)
    result = agent.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "sub"}})
    (turn,) = open_run("sub").turns[:1]
    assert turn.error is None, turn.error
    return result["rlm"]["content"]


def test_str_and_dict_prompts_in_order() -> None:
    assert run('out = llm_batch(["a", {"prompt": "b"}, "c"])') == ["A", "B", "C"]


def test_more_calls_than_a_chunk() -> None:
    assert run("out = [int(r) for r in llm_batch([str(i) for i in range(200)])]") == list(range(200))


def test_a_failing_slot_does_not_lose_the_batch() -> None:
    def sub(messages: list[Any]) -> Any:
        return ValueError("no such page") if messages[-1].content == "bad" else "fine"

    ok, errors = run('r = llm_batch(["x", "bad", "y"])\nout = [[s.ok for s in r], [s.error for s in r]]', sub)
    assert ok == [True, False, True]
    assert errors[0] is None
    assert "no such page" in errors[1]


def test_options_a_slot() -> None:
    def plain(messages: list[Any]) -> str:
        system = [m.content for m in messages if isinstance(m, SystemMessage)]
        return f"{system}{messages[-1].content}"

    cell = """
r = llm_batch([{"prompt": "p", "model": "big"}, {"prompt": "q", "system": "S"}, {"prompt": "r", "model": "none"}],
              system="D")
out = [list(map(str, r)), r[0].model, r[1].model, r[2].ok, r[2].error]
"""
    texts, big, small, ok, error = run(
        cell,
        ScriptedModel(replies=plain, model_name="small"),
        models={"big": ScriptedModel(replies=plain, model_name="big-model")},
    )
    assert texts == ["['D']p", "['S']q", ""]
    assert (big, small, ok) == ("big-model", "small", False)
    assert "no model is named 'none'; known names: big" in error


def test_identical_prompts_are_separate_samples() -> None:
    seen = iter(range(10))
    assert run('out = sorted(llm_batch(["same"] * 3))', lambda _: str(next(seen))) == ["0", "1", "2"]


def test_schema_gives_data() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    def sub(messages: list[Any]) -> str:
        return '{"n": 3}' if messages[-1].content == "good" else '{"n": "x"}'

    cell = f'r = llm_batch(["good", "bad"], schema={schema!r})\nout = [r[0].data, r[0].ok, r[1].ok, r[1].error]'
    data, ok, bad, error = run(cell, sub)
    assert (data, ok, bad) == ({"n": 3}, True, False)
    assert "n" in error


def test_calls_from_threads_travel_together_and_get_their_own_answers() -> None:
    cell = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    out = list(pool.map(lambda i: str(llm(f"item {i}")), range(8)))
"""
    assert run(cell) == [f"ITEM {i}" for i in range(8)]


def test_aliases_and_recursion_says_what_it_needs() -> None:
    cell = """
r = rlm("child")
out = [str(llm_query("a")), llm_query_batched(["b"]), r.ok, r.error, rlm_batch(["x", "y"])[1].ok]
"""
    a, b, ok, error, other = run(cell)
    assert (a, b, ok, other) == ("A", ["B"], False, False)
    assert "needs an agent with max_depth=2 or more" in error


def test_no_sub_calls_at_depth_zero() -> None:
    assert run('out = ["llm_batch" in globals(), "llm" in globals(), "rlm" in globals()]', max_depth=0) == [False] * 3


@pytest.mark.parametrize("entry", ["invoke", "ainvoke"])
async def test_32_calls_are_in_flight_at_once_and_no_more(entry: str) -> None:
    sub = ScriptedModel(replies=lambda _: "x", delay=0.05)
    code = '```python\nr = llm_batch(["x"] * 128)\nanswer["content"] = len(r)\nanswer["ready"] = True\n```'
    agent = create_rlm_agent(ScriptedModel(replies=lambda _: code), sub_model=sub)
    given: Any = {"messages": [("user", "go")]}
    out = agent.invoke(given) if entry == "invoke" else await agent.ainvoke(given)
    assert out["rlm"]["content"] == 128
    assert sub.peak_in_flight == 32


class SyncOnly(ScriptedModel):
    """A model without an async form of its own."""

    _agenerate: Any = ScriptedModel.__mro__[1]._agenerate
    _astream: Any = ScriptedModel.__mro__[1]._astream


async def test_32_calls_of_a_model_that_is_sync_only() -> None:
    sub = SyncOnly(replies=lambda _: "x", delay=0.4)
    code = '```python\nr = llm_batch(["x"] * 64)\nanswer["content"] = len(r)\nanswer["ready"] = True\n```'
    out = await create_rlm_agent(ScriptedModel(replies=lambda _: code), sub_model=sub).ainvoke(
        {"messages": [("user", "go")]}
    )
    assert out["rlm"]["content"] == 64
    assert sub.peak_in_flight == 32


def test_a_slow_call_costs_its_slot() -> None:
    sub = ScriptedModel(replies=lambda _: "x", delay=5)
    started = time.monotonic()
    ok, error = run('r = llm("slow", timeout=0.2)\nout = [r.ok, r.error]', sub)
    assert ok is False
    assert "0.2 s" in error
    assert time.monotonic() - started < 4


@tool
def shout(word: str) -> str:
    """Shouts."""
    if word == "boom":
        raise RuntimeError("the tool broke")
    return word.upper()


@tool
def ask_the_human(question: str) -> str:
    """Interrupts."""
    return str(interrupt(question))


def with_tool(name: str, argument: str) -> Any:
    def sub(messages: list[Any]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(f"{messages[-1].status}: {messages[-1].content}")
        key = "word" if name == "shout" else "question"
        return AIMessage("", tool_calls=[{"name": name, "args": {key: argument}, "id": "1"}])

    return sub


def test_a_failing_tool_is_read_by_the_sub_agent() -> None:
    out = run('out = str(llm("x"))', with_tool("shout", "boom"), tools=[shout])
    assert out == "error: Error: RuntimeError: the tool broke"


def test_a_tool_by_name_and_none_at_all() -> None:
    cell = 'r = llm_batch([{"prompt": "a", "tools": ["shout"]}, {"prompt": "b", "tools": ["nope"]}])\n'
    text, error = run(cell + "out = [str(r[0]), r[1].error]", with_tool("shout", "hi"), tools=[shout])
    assert text == "success: HI"
    assert "no tool is named 'nope'; known names: shout" in error


def test_an_interrupt_in_a_tool_costs_its_slot() -> None:
    ok, error = run('r = llm("x")\nout = [r.ok, r.error]', with_tool("ask_the_human", "may I?"), tools=[ask_the_human])
    assert ok is False
    assert "interrupt_on" in error


def test_the_last_turn_of_a_sub_agent_is_warned_and_has_no_tools() -> None:
    def sub(messages: list[Any]) -> AIMessage:
        if "last turn" in str(messages[-1].content).lower():
            return AIMessage("I stop here")
        return AIMessage("", tool_calls=[{"name": "shout", "args": {"word": "again"}, "id": str(len(messages))}])

    usage, text = run('r = llm("x")\nout = [r.usage["calls"], str(r)]', sub, tools=[shout], limits=Limits(sub_turns=3))
    assert (usage, text) == (3, "I stop here")


def test_a_batch_over_the_budget_is_refused_with_the_numbers() -> None:
    cell = """
try:
    llm_batch(["a"] * 11)
except RuntimeError as error:
    out = [type(error).__name__, str(error)]
out.append(len(llm_batch(["a"] * 10)))
"""
    name, text, rest = run(cell, budget=Budget(sub_calls=10))
    assert name == "BudgetExceeded"
    assert "11 sub-calls" in text
    assert "10 of 10" in text
    assert rest == 10


def test_host_functions_get_plain_checked_arguments_off_the_loop_thread() -> None:
    threads: list[str] = []

    def add(a: int, b: int = 1) -> int:
        threads.append(threading.current_thread().name)
        return a + b

    async def later(x: str) -> dict[str, str]:
        return {"x": x}

    cell = """
out = [add(1, b=2), later("가")]
try:
    add()
except Exception as error:
    out.append(str(error))
"""
    total, plain, error = run(cell, repl_functions=[add, later])
    assert (total, plain) == (3, {"x": "가"})
    assert "missing a required argument" in error
    assert "rlm-loop" not in threads[0]


def test_a_worker_that_dies_in_a_later_block_gets_the_earlier_ones_back() -> None:
    first = "out = [str(r) for r in llm_batch(['a', 'b'])]"
    reply = f"```python\n{first}\n```\n```python\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n```"
    done = '```python\nanswer["content"] = out\nanswer["ready"] = True\n```'
    sub = ScriptedModel(replies=lambda messages: messages[-1].content.upper())
    agent = create_rlm_agent(ScriptedModel(replies=[reply, done]), sub_model=sub)
    result = agent.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "died"}})
    assert result["rlm"]["content"] == ["A", "B"]
    assert sub.calls == 2, "the earlier block was replayed from the record"
    turn = open_run("died").turns[0]
    assert "SIGKILL" in (turn.error or "")
    assert [batch.calls for batch in turn.batches] == [2]


def test_a_stop_iteration_of_the_hosts_code_is_an_error_and_no_endless_wait() -> None:
    def first() -> str:
        return str(next(iter([])))

    cell = "try:\n    first()\nexcept RuntimeError as error:\n    answer['content'] = [str(error), llm('x').error]"
    code = f"```python\n{cell}\nanswer['ready'] = True\n```"
    sub = ScriptedModel(replies=lambda _: next(iter([])))
    agent = create_rlm_agent(ScriptedModel(replies=lambda _: code), sub_model=sub, repl_functions=[first])
    errors = agent.invoke({"messages": [("user", "q")]})["rlm"]["content"]
    assert ["StopIteration" in error for error in errors] == [True, True]
