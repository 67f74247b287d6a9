"""The root's provider fails: the call raises one line, and the run goes on from there with nothing paid twice."""

from typing import Any

import pytest
from faults import NO_REPLY, NO_STREAM, NOT_WHOLE, only_line
from openai_server import STALL, Completion, Refusal
from provider import Provider, tool_call

from rlm_agent import Home, ModelError

ASK = 'r = llm_batch(["a", "b", "c"])'
SHOW = 'answer["content"] = [str(s) for s in r]\nanswer["ready"] = True'


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_each_failure_is_one_line_and_the_run_goes_on_after_all_of_them(
    service: Provider, home: Home, thread: Any, streaming: bool
) -> None:
    failures = {**NO_REPLY, **(NO_STREAM if streaming else {})}
    service.cells = (ASK, SHOW)
    service.instead["root"].extend([service.root_reply({}, ASK), *(fault for fault, _ in failures.values())])
    agent, given = service.agent(home, client={"streaming": streaming}), {"messages": [("user", "q")]}
    for n, (name, (_, says)) in enumerate(failures.items(), 1):
        with pytest.raises(ModelError) as caught:
            agent.invoke(given if n == 1 else None, thread)
        assert says in only_line(str(caught.value)), name
        assert "Model root" in str(caught.value)
        assert service.asked() == (1 + n, 3), f"{name}: each resume asks for the failed reply only"
    out = agent.invoke(None, thread)
    assert out["rlm"]["content"] == ["A", "B", "C"]
    assert service.asked() == (2 + len(failures), 3)
    assert out["rlm"]["usage"]["total"]["calls"] == 5


def test_a_stall_ends_at_the_clients_timeout(service: Provider, home: Home, thread: Any) -> None:
    service.cells = (SHOW.replace("r]", "[1]]"),)
    service.instead["root"].append(STALL)
    agent = service.agent(home, client={"timeout": 1.5})
    with pytest.raises(ModelError, match="no answer in time") as caught:
        agent.invoke({"messages": [("user", "q")]}, thread)
    assert service.server.url in only_line(str(caught.value))
    assert agent.invoke(None, thread)["rlm"]["content"] == ["1"]


@pytest.mark.parametrize(("name", "streaming"), [*((name, False) for name in NOT_WHOLE), ("cut off", True)])
def test_a_reply_that_is_not_whole_is_answered_by_a_reminder(
    service: Provider, home: Home, thread: Any, name: str, streaming: bool
) -> None:
    service.cells = (SHOW.replace("r]", "[1]]"),)
    service.instead["root"].append(NOT_WHOLE[name][0])
    out = service.agent(home, client={"streaming": streaming}).invoke({"messages": [("user", "q")]}, thread)
    assert out["rlm"]["content"] == ["1"]
    assert out["rlm"]["usage"]["root"]["calls"] == 2
    *_, reply, reminder = service.requests("root")[1]["messages"]
    assert reply["content"], "an empty message is not sent back to a provider"
    assert ("cut off" in reminder["content"]) == (name == "cut off")


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_code_as_a_tool_call(service: Provider, home: Home, thread: Any, streaming: bool) -> None:
    service.cells = (ASK + "\nprint('안녕')", SHOW)
    agent = service.agent(home, code_via="tool", client={"streaming": streaming})
    out = agent.invoke({"messages": [("user", "q")]}, thread)
    assert (out["rlm"]["content"], out["rlm"]["turns"]) == (["A", "B", "C"], 2)
    assert {body["tools"][0]["function"]["name"] for body in service.requests("root")} == {"python"}
    assert "안녕" in service.requests("root")[1]["messages"][-1]["content"]
    assert not any("tools" in body for body in service.requests("sub"))


@pytest.mark.parametrize(
    "call", [tool_call("python", '{"code": "x ='), tool_call("python", {"source": "x"}), tool_call("shell", {})]
)
def test_a_tool_call_that_holds_no_code_is_answered_by_a_reminder(
    service: Provider, home: Home, thread: Any, call: Any
) -> None:
    service.cells = (SHOW.replace("r]", "[1]]"),)
    service.instead["root"].append(call)
    out = service.agent(home, code_via="tool").invoke({"messages": [("user", "q")]}, thread)
    assert out["rlm"]["content"] == ["1"]
    assert service.requests("root")[1]["messages"][-1]["content"].startswith("Nothing was run")


def test_the_prompt_is_too_long_for_the_model(service: Provider, home: Home, thread: Any) -> None:
    said = "This model's maximum context length is 8192 tokens: context_length_exceeded"
    service.instead["root"].append(Refusal(400, said))
    service.cells = (SHOW,)
    with pytest.raises(ModelError, match="answered 400: the prompt is too large for this model"):
        service.agent(home).invoke({"messages": [("user", "q")]}, thread)


def test_half_a_stream_runs_no_half_of_its_code(service: Provider, home: Home, thread: Any) -> None:
    """Streamed to the host's user, the reply looks whole so far; nothing of it may be acted on."""
    service.cells = (SHOW.replace("r]", "[1]]"),)
    service.instead["root"].append(Completion("```python\nopen('made', 'w')\n```\nand then", None))
    agent, seen = service.agent(home), []
    parts = agent.stream({"messages": [("user", "q")]}, thread, stream_mode="messages")
    with pytest.raises(ModelError, match="the stream ended before the reply did"):
        seen.extend(message.content for message, _ in parts)
    assert "".join(seen).startswith("```python\nopen")
    assert agent.invoke(None, thread)["rlm"]["turns"] == 1
