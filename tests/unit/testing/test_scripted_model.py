"""The scripted model: order, logs that outlive a kill, streaming, tools."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool

from rlm_agent.testing import ScriptedModel, ScriptExhausted, read_calls


@tool
def look(place: str) -> str:
    """Looks at a place."""
    return f"{place} is there"


def test_a_list_is_consumed_in_order_and_then_says_so() -> None:
    model = ScriptedModel(["first", AIMessage("둘째"), ValueError("third fails")])
    assert model.invoke("a").text == "first"
    assert model.invoke("b").text == "둘째"
    with pytest.raises(ValueError, match="third fails"):
        model.invoke("c")
    with pytest.raises(ScriptExhausted, match=r"holds 3 replies and this is call 4.*'the question'"):
        model.invoke("the question")
    assert model.calls == 4
    assert issubclass(ScriptExhausted, AssertionError)


async def test_a_function_sees_the_messages() -> None:
    seen: list[list[BaseMessage]] = []

    def reply(messages: list[BaseMessage]) -> str:
        seen.append(messages)
        return f"{len(messages)} messages"

    messages = [SystemMessage("be brief"), HumanMessage("안녕")]
    assert (await ScriptedModel(reply).ainvoke(messages)).text == "2 messages"
    assert [m.content for m in seen[0]] == ["be brief", "안녕"]


def test_usage_is_deterministic_and_a_messages_own_stands() -> None:
    first, second = (ScriptedModel(["a reply of some words"]).invoke("a question") for _ in range(2))
    assert first.usage_metadata == second.usage_metadata
    assert first.usage_metadata is not None
    assert first.usage_metadata["output_tokens"] > 0
    own: Any = {"input_tokens": 7, "output_tokens": 8, "total_tokens": 15}
    assert ScriptedModel([AIMessage("x", usage_metadata=own)]).invoke("q").usage_metadata == own


async def test_calls_of_threads_and_tasks_take_each_reply_once() -> None:
    model = ScriptedModel([str(i) for i in range(100)], delay=0.01)
    with ThreadPoolExecutor(20) as pool:
        from_threads = [pool.submit(model.invoke, "q") for _ in range(50)]
        from_tasks = await asyncio.gather(*(model.ainvoke("q") for _ in range(50)))
    texts = [f.result().text for f in from_threads] + [r.text for r in from_tasks]
    assert sorted(map(int, texts)) == list(range(100))
    assert model.peak_in_flight > 20


async def test_a_reply_function_that_blocks_does_not_hold_the_loop() -> None:
    held = threading.Event()

    def reply(messages: list[BaseMessage]) -> str:
        assert held.wait(5)
        return "let go"

    waiting = asyncio.create_task(ScriptedModel(reply).ainvoke("q"))
    await asyncio.sleep(0.05)
    held.set()
    assert (await waiting).text == "let go"


async def test_words_are_streamed_and_add_up() -> None:
    call: Any = {"name": "look", "args": {"place": "서울"}, "id": "c1", "type": "tool_call"}
    model = ScriptedModel([AIMessage("one two  three", tool_calls=[call])] * 2)
    chunks = list(model.stream("q"))
    assert [c.content for c in chunks if c.content] == ["one ", "two  ", "three"]
    assert [c.content async for c in model.astream("q") if c.content] == ["one ", "two  ", "three"]
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged += chunk
    assert merged.text == "one two  three"
    assert merged.tool_calls == [call]
    assert merged.usage_metadata is not None
    assert merged.usage_metadata["total_tokens"] > 0


async def test_the_log_tells_of_start_reply_error_and_tools(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    assert read_calls(log) == []
    model = ScriptedModel(["답\n둘", KeyError("gone")], log=log, model_name="m-1")
    await model.bind_tools([look]).ainvoke("무엇?")
    with pytest.raises(KeyError):
        model.invoke("무엇?")
    start, reply, again, error = read_calls(log)
    assert [c.event for c in (start, reply, again, error)] == ["start", "reply", "start", "error"]
    assert (start.text, reply.text, error.text) == ("무엇?", "답\n둘", "KeyError: 'gone'")
    assert start.call == reply.call != again.call
    assert start.digest == again.digest
    assert (start.tools, again.tools) == (("look",), ())
    assert {c.pid for c in (start, reply)} == {os.getpid()}
    assert {c.model for c in (start, reply)} == {"m-1"}
    assert read_calls(log, "reply") == [reply]


def test_the_digest_follows_the_content_and_not_the_ids(tmp_path: Path) -> None:
    model = ScriptedModel(lambda messages: "x", log=tmp_path / "log")
    for message in (HumanMessage("q", id="1"), HumanMessage("q", id="2"), HumanMessage("r"), SystemMessage("q")):
        model.invoke([message])
    digests = [c.digest for c in read_calls(tmp_path / "log", "start")]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ScriptedModel(["x"], log=log).invoke("q")
    with log.open("a") as file:
        file.write('{"event": "start", "ca')
    assert [c.event for c in read_calls(log)] == ["start", "reply"]


KILLED = """
import asyncio, sys
from rlm_agent.testing import ScriptedModel
model = ScriptedModel(["one", "two"], delay=float(sys.argv[2]), log=sys.argv[1])
asyncio.run(model.ainvoke("q")) if sys.argv[3] == "async" else model.invoke("q")
print("replied", flush=True)
asyncio.run(asyncio.sleep(60))
"""


@pytest.mark.parametrize("form", ["sync", "async"])
def test_the_log_outlives_a_kill_before_and_after_the_reply(tmp_path: Path, form: str) -> None:
    log = tmp_path / "log"

    def events() -> list[str]:
        return [c.event for c in read_calls(log)]

    run = subprocess.Popen([sys.executable, "-c", KILLED, str(log), "60", form])
    for _ in range(600):
        if events() == ["start"]:
            break
        threading.Event().wait(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert events() == ["start"]
    with subprocess.Popen([sys.executable, "-c", KILLED, str(log), "0", form], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"replied\n"
        run.send_signal(signal.SIGKILL)
    assert events() == ["start", "start", "reply"]
    assert len({c.pid for c in read_calls(log)}) == 2


async def test_it_serves_an_agent_with_tools(tmp_path: Path) -> None:
    call: Any = {"name": "look", "args": {"place": "서울"}, "id": "c1", "type": "tool_call"}
    model = ScriptedModel([AIMessage("", tool_calls=[call]), "done"], log=tmp_path / "log")
    out = await create_agent(model, [look]).ainvoke({"messages": [("user", "go")]})
    assert [m.text for m in out["messages"][1:]] == ["", "서울 is there", "done"]
    assert {c.tools for c in read_calls(tmp_path / "log")} == {("look",)}
