"""A sub-agent's provider fails: its slot says why in one line, the batch is not lost, and nothing is paid twice."""

import json
from typing import Any

import pytest
from faults import NO_REPLY, NO_STREAM, NOT_WHOLE, only_line
from langchain_core.tools import tool
from openai_server import STALL, Refusal
from provider import Provider, tool_call

from rlm_agent import Home, ModelError, open_run

SHOW = 'answer["content"] = slots\nanswer["ready"] = True'


@tool
def look(place: str) -> str:
    """Looks at a place."""
    return f"{place} is quiet"


def batch(prompts: list[str]) -> str:
    """A cell that asks all and keeps each slot by its prompt; "stall" is given two seconds."""
    return (
        f"names = {prompts!r}\n"
        'r = llm_batch([{"prompt": n, "timeout": 2 if n == "stall" else 20} for n in names])\n'
        "slots = {n: [s.ok, s.error, str(s), s.usage] for n, s in zip(names, r)}"
    )


@pytest.mark.parametrize("tools", [[], [look]], ids=["plain", "with tools"])
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_every_failure_costs_its_slot_only(
    service: Provider, home: Home, thread: Any, tools: list[Any], streaming: bool
) -> None:
    failures = {**NO_REPLY, **NOT_WHOLE, **(NO_STREAM if streaming else {}), "stall": (STALL, "no answer within 2 s")}
    prompts = ["first", *failures, "last"]
    service.sub = lambda prompt: failures.get(prompt, (prompt.upper(),))[0]
    service.cells = (batch(prompts), SHOW)
    agent = service.agent(home, tools, client={"streaming": streaming})
    slots = agent.invoke({"messages": [("user", "q")]}, thread)["rlm"]["content"]
    assert {name: says for name, (_, says) in failures.items() if says not in only_line(slots[name][1])} == {}
    assert [name for name in prompts if slots[name][0]] == ["first", "last"]
    assert [slots["first"][2], slots["last"][2], slots["cut off"][2][:10]] == ["FIRST", "LAST", "many words"]
    assert [name for name in failures if slots[name][3]] == list(NOT_WHOLE), "these were paid for, and say so"
    assert service.asked() == (2, len(prompts))


def test_failed_slots_are_not_asked_again_on_resume(service: Provider, home: Home, thread: Any) -> None:
    service.sub = lambda prompt: Refusal(503) if prompt == "bad" else prompt.upper()
    service.cells = (batch(["a", "bad", "c"]), SHOW)
    service.instead["root"].extend([service.root_reply({}, service.cells[0]), Refusal(500)])
    with pytest.raises(ModelError, match="answered 500"):
        service.agent(home).invoke({"messages": [("user", "q")]}, thread)
    out = service.agent(home).invoke(None, thread)
    assert {name: slot[0] for name, slot in out["rlm"]["content"].items()} == {"a": True, "bad": False, "c": True}
    assert service.asked() == (3, 3)
    assert out["rlm"]["usage"]["sub"]["calls"] == 2, "a refusal is not counted as paid"
    assert open_run("over-http", home=home).turns[0].batches[0].failed == 1


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_a_sub_agents_tools_over_http(service: Provider, home: Home, thread: Any, streaming: bool) -> None:
    def sub(prompt: str) -> Any:
        body = service.requests("sub")[-1]
        result = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        return f"I saw: {result[0]}" if result else tool_call("look", {"place": "서울"})

    service.sub = sub
    service.cells = (batch(["q"]), SHOW)
    out = service.agent(home, [look], client={"streaming": streaming}).invoke({"messages": [("user", "q")]}, thread)
    ok, error, text, usage = out["rlm"]["content"]["q"]
    assert (ok, error, text) == (True, None, "I saw: 서울 is quiet")
    first, second = service.requests("sub")
    assert [t["function"]["name"] for t in first["tools"]] == ["look"]
    assert json.loads(second["messages"][-2]["tool_calls"][0]["function"]["arguments"]) == {"place": "서울"}
    assert usage["calls"] == 2
    assert usage["input_tokens"] == sum(service.server.usage_of(b, "")["prompt_tokens"] for b in (first, second))


def test_a_failure_after_a_tool_call_keeps_what_was_paid_in_the_ledger(
    service: Provider, home: Home, thread: Any
) -> None:
    service.instead["sub"].extend([tool_call("look", {"place": "here"}), Refusal(500)])
    service.cells = (batch(["q"]), SHOW)
    out = service.agent(home, [look]).invoke({"messages": [("user", "q")]}, thread)
    ok, error, _, _ = out["rlm"]["content"]["q"]
    assert (ok, "answered 500" in only_line(error)) == (False, True)
    assert out["rlm"]["usage"]["sub"]["calls"] == 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (tool_call("look", '{"place": '), "arguments that are no JSON"),
        (tool_call("nonesuch", {}), ""),
    ],
)
def test_a_tool_call_that_cannot_be_run(service: Provider, home: Home, thread: Any, call: Any, says: str) -> None:
    service.instead["sub"].append(call)
    service.cells = (batch(["q"]), SHOW)
    out = service.agent(home, [look]).invoke({"messages": [("user", "q")]}, thread)
    ok, error, text, _ = out["rlm"]["content"]["q"]
    if says:
        assert (ok, says in only_line(error)) == (False, True)
    else:
        assert (ok, text) == (True, "Q"), "the model reads that there is no such tool, and answers"
        assert "nonesuch" in service.requests("sub")[1]["messages"][-1]["content"]


def test_a_reply_without_usage_is_counted_by_its_length(service: Provider, home: Home, thread: Any) -> None:
    service.server.with_usage = False
    service.cells = (
        batch(["word " * 400]),
        'answer["content"] = [s[3] for s in slots.values()]\nanswer["ready"] = True',
    )
    for tools in ([], [look]):
        out = service.agent(home, tools, name=f"n{len(tools)}").invoke({"messages": [("user", "q")]}, thread)
        (usage,) = out["rlm"]["content"]
        assert 400 < usage["input_tokens"] < 900
        assert 400 < usage["output_tokens"] < 900
