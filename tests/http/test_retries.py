"""The client's own retries: Retry-After is waited out, what succeeds in the end is paid for once."""

import time
from typing import Any

import pytest
from faults import only_line
from openai_server import HANG_UP, Broken, Refusal
from provider import Provider

from rlm_agent import Home, ModelError

ASK = 'r = llm_batch(["a", "b", "c", "d"])\nslots = [[s.ok, str(s), s.error] for s in r]'
SHOW = 'answer["content"] = slots\nanswer["ready"] = True'
AT_ONCE = (("retry-after-ms", "1"),)


def test_retry_after_is_waited_out_by_all_slots_side_by_side(service: Provider, home: Home, thread: Any) -> None:
    busy = Refusal(429, "slow down", (("Retry-After", "1"),))
    service.instead["sub"].extend([busy] * 4)
    service.cells = (ASK, SHOW)
    started = time.monotonic()
    out = service.agent(home, client={"max_retries": 1}).invoke({"messages": [("user", "q")]}, thread)
    assert 1 <= time.monotonic() - started < 3, "one second, not four"
    assert out["rlm"]["content"] == [[True, letter, None] for letter in "ABCD"]
    assert service.asked() == (2, 8)
    assert out["rlm"]["usage"]["sub"]["calls"] == 4


@pytest.mark.parametrize(("status", "streaming"), [(429, False), (500, True), (503, False)])
def test_refused_once_then_well(service: Provider, home: Home, thread: Any, status: int, streaming: bool) -> None:
    service.instead["root"].append(Refusal(status, headers=AT_ONCE))
    service.instead["sub"].append(Refusal(status, headers=AT_ONCE))
    service.cells = (ASK, SHOW)
    agent = service.agent(home, client={"max_retries": 1, "streaming": streaming})
    out = agent.invoke({"messages": [("user", "q")]}, thread)
    assert [slot[0] for slot in out["rlm"]["content"]] == [True] * 4
    assert service.asked() == (3, 5)
    assert out["rlm"]["usage"]["total"]["calls"] == 6


def test_refused_for_ever(service: Provider, home: Home, thread: Any) -> None:
    service.sub = lambda prompt: Refusal(500, headers=AT_ONCE) if prompt == "b" else prompt.upper()
    service.cells = (ASK, SHOW)
    service.instead["root"].extend([service.root_reply({}, ASK), *[Refusal(500, headers=AT_ONCE)] * 3])
    agent = service.agent(home, client={"max_retries": 2})
    with pytest.raises(ModelError, match="answered 500"):
        agent.invoke({"messages": [("user", "q")]}, thread)
    assert service.asked() == (1 + 3, 3 + 3)
    out = agent.invoke(None, thread)
    assert [slot[0] for slot in out["rlm"]["content"]] == [True, False, True, True]
    assert "answered 500: the server failed" in only_line(out["rlm"]["content"][1][2])
    assert service.asked() == (5, 6), "a slot that failed is not asked again"


@pytest.mark.parametrize("fault", [HANG_UP, Broken("some words that are cut")], ids=["hung up", "cut"])
def test_a_broken_connection_is_tried_again(service: Provider, home: Home, thread: Any, fault: Any) -> None:
    service.instead["sub"].append(fault)
    service.cells = (ASK, SHOW)
    out = service.agent(home, client={"max_retries": 1}).invoke({"messages": [("user", "q")]}, thread)
    assert [slot[0] for slot in out["rlm"]["content"]] == [True] * 4
    assert service.asked() == (2, 5)


def test_a_refused_key_is_not_tried_again(service: Provider, home: Home, thread: Any) -> None:
    service.instead["root"].append(Refusal(401))
    service.cells = (SHOW,)
    with pytest.raises(ModelError, match="the key was refused"):
        service.agent(home, client={"max_retries": 5}).invoke({"messages": [("user", "q")]}, thread)
    assert service.asked() == (1, 0)
