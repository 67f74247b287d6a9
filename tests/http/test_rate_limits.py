"""Rate limits and outages over real HTTP: waited out once for all calls of a model, each slot paid for once."""

import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from openai_server import HANG_UP, STALL, Broken, Refusal
from provider import Provider
from stepped_clock import SteppedClock

from rlm_agent import Budget, Home, Limits, ModelError, create_rlm_agent, open_run
from rlm_agent.models import rate_limits

ASK = 'r = llm_batch(["a", "b", "c", "d"])\nslots = [[s.ok, str(s), s.error] for s in r]'
SHOW = 'answer["content"] = slots\nanswer["ready"] = True'
TRIES = Limits(sub_tries=6)


@tool
def look(place: str) -> str:
    """Looks at a place."""
    return f"{place} is quiet"


def busy(seconds: float) -> Refusal:
    return Refusal(429, "slow down", (("Retry-After", f"{seconds:g}"),))


class Faulty:
    """Answers each prompt in the end: what its first requests get instead is drawn once, and served once."""

    def __init__(self, service: Provider, calls: int, wait: float) -> None:
        cuts = ((HANG_UP, 0.03), (Broken("half"), 0.02))
        shares = ((busy(wait), 0.30), (Refusal(500, "boom"), 0.05), *cuts, (STALL, 0.02))
        faults = [fault for fault, share in shares for _ in range(round(calls * share))]
        draw = random.Random(7)
        self.left = dict(zip(draw.sample([f"item {i}" for i in range(calls)], len(faults)), faults, strict=True))
        self.faults, self.answers, self._lock = len(faults), Counter[str](), threading.Lock()
        service.sub = self._sub

    def _sub(self, prompt: str) -> Any:
        with self._lock:
            if (fault := self.left.pop(prompt, None)) is not None:
                return fault
            self.answers[prompt] += 1
        return prompt.upper()


def all_answered(service: Provider, home: Home, thread: Any, calls: int, wait: float, timeout: float) -> str:
    """Runs a batch against those faults; returns a line of what it took."""
    faulty = Faulty(service, calls, wait)
    service.cells = (
        f"r = llm_batch([f'item {{i}}' for i in range({calls})])\n"
        "right = all(s == f'ITEM {i}' for i, s in enumerate(r))\n"
        "slots = [sum(s.ok for s in r), [s.error for s in r if not s.ok], right]",
        SHOW,
    )
    events: list[Any] = []
    agent = service.agent(home, client={"timeout": timeout}, limits=TRIES)
    started = time.monotonic()
    for event in agent.stream({"messages": [("user", "q")]}, thread, stream_mode="custom"):
        events.append(event)
    seconds = time.monotonic() - started
    run = open_run("over-http", home=home)
    assert run.answer.content == [calls, [], True]
    assert not faulty.left
    assert faulty.answers == Counter(f"item {i}" for i in range(calls)), "each was answered, and paid for, once"
    assert len(service.requests("sub")) == calls + faulty.faults
    assert run.usage["sub"]["calls"] == calls
    assert home.ledger.count(run.id, "slot", 1) == calls
    waits = [event for event in events if event["type"] == "waiting"]
    assert {event["what"] for event in waits} == {"sub"}
    assert len(waits) < faulty.faults
    return f"{calls} calls, {faulty.faults} faults: {seconds:.1f} s with {len(waits)} waits; without faults"


def without_faults(service: Provider, home: Home, calls: int) -> float:
    service.sub = str.upper
    agent = service.agent(home, name="ideal", limits=TRIES)
    started = time.monotonic()
    agent.invoke({"messages": [("user", "q")]}, {"configurable": {"thread_id": "ideal"}})
    return time.monotonic() - started


def test_sixty_calls_through_all_faults(service: Provider, home: Home, thread: Any) -> None:
    print(all_answered(service, home, thread, 60, 0.2, timeout=1.5))


@pytest.mark.slow
def test_five_hundred_calls_through_all_faults(
    service: Provider, home: Home, thread: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    line = all_answered(service, home, thread, 500, 2, timeout=4)
    ideal = without_faults(service, home, 500)
    with capsys.disabled():
        print(f"\n{line} {ideal:.1f} s")


def test_one_wait_for_all_and_no_more_tries_than_allowed(service: Provider, home: Home, thread: Any) -> None:
    service.sub = lambda prompt: busy(0.05) if prompt == "b" else prompt.upper()
    service.cells = (ASK, SHOW)
    out = service.agent(home, limits=Limits(sub_tries=3)).invoke({"messages": [("user", "q")]}, thread)
    ok = [slot[0] for slot in out["rlm"]["content"]]
    assert ok == [True, False, True, True]
    error = out["rlm"]["content"][1][2]
    assert "answered 429" in error
    assert "tried 3 times" in error
    assert service.asked() == (2, 3 + 3)


class Turnstile:
    """Holds the first requests to `sub` until all places are taken, refuses the first of them, and notes who comes."""

    def __init__(self, service: Provider, places: int, wait: float) -> None:
        self.root, self.places, self.wait = service.server.answer, places, wait
        self.came: dict[str, list[float]] = {"sub": [], "other": []}
        self.full, self.refused_at, self._lock = threading.Event(), 0.0, threading.Lock()
        service.server.answer = self._answer

    def _answer(self, body: dict[str, Any]) -> Any:
        if body["model"] == "root":
            return self.root(body)
        with self._lock:
            came = self.came[body["model"]]
            came.append(time.monotonic())
            number = len(came)
        if body["model"] == "other":
            return "other"
        if number == self.places:
            self.full.set()
        if number <= self.places and not self.full.wait(20):
            return Refusal(400, "the places are not taken at once")
        if number == 1:
            self.refused_at = time.monotonic()
            return busy(self.wait)
        time.sleep(0.2 if number <= self.places else 0)
        return "sub"


def test_twenty_calls_wait_once_while_another_models_go_on(service: Provider, home: Home, thread: Any) -> None:
    gate = Turnstile(service, places=5, wait=1.5)
    service.cells = (
        'r = llm_batch([f"s{i}" for i in range(20)] + [{"prompt": f"o{i}", "model": "other"} for i in range(10)])\n'
        "slots = [str(s) if s.ok else s.error for s in r]",
        SHOW,
    )
    limits = Limits(sub_tries=6, concurrency=gate.places)
    agent = service.agent(home, models={"other": service.chat("other")}, limits=limits)
    events = list(agent.stream({"messages": [("user", "q")]}, thread, stream_mode="custom"))
    seen = datetime.now(UTC).timestamp() - time.monotonic()
    assert open_run("over-http", home=home).answer.content == ["sub"] * 20 + ["other"] * 10
    opens = gate.refused_at + gate.wait
    later = [at for at in gate.came["sub"] if at > gate.refused_at]
    assert (len(gate.came["sub"]) - len(later), len(later)) == (gate.places, 20 - gate.places + 1)
    assert min(later) >= opens, "nobody came while the wait lasted, though places were free"
    assert len(gate.came["other"]) == 10
    assert max(gate.came["other"]) < opens, "calls of another model are not held"
    (waiting,) = [event for event in events if event["type"] == "waiting"]
    assert (waiting["who"], waiting["what"], waiting["why"]) == ("model", "sub", "rate limit (429)")
    assert opens - 0.01 <= datetime.fromisoformat(waiting["until"]).timestamp() - seen <= min(later) + 0.01


def test_the_clients_own_retries_are_not_added(service: Provider, home: Home, thread: Any) -> None:
    service.sub = lambda prompt: Refusal(500, "boom", (("Retry-After", "0.01"),))
    service.cells = ('r = llm_batch(["a"])\nslots = [r[0].ok]', SHOW)
    agent = service.agent(home, client={"max_retries": 4}, limits=Limits(sub_tries=2))
    assert agent.invoke({"messages": [("user", "q")]}, thread)["rlm"]["content"] == [False]
    assert service.asked() == (2, 2)


def test_waiting_is_not_taken_from_the_sub_agents_time(service: Provider, home: Home, thread: Any) -> None:
    service.instead["sub"].append(busy(1.2))
    service.cells = ('r = llm_batch(["a"], timeout=1)\nslots = [r[0].ok, r[0].error]', SHOW)
    out = service.agent(home, limits=TRIES).invoke({"messages": [("user", "q")]}, thread)
    assert out["rlm"]["content"] == [True, None]


def test_the_root_waits_too_and_ends_in_the_same_error(service: Provider, home: Home, thread: Any) -> None:
    service.instead["root"].extend([busy(0.05), Refusal(503, "later", (("Retry-After", "0.05"),))])
    service.cells = ('slots = "well"', SHOW)
    agent = service.agent(home, limits=TRIES)
    assert agent.invoke({"messages": [("user", "q")]}, thread)["rlm"]["content"] == "well"
    assert service.asked() == (4, 0)
    service.instead["root"].extend([busy(0.02)] * 6)
    with pytest.raises(ModelError, match=r"answered 429.*tried 6 times"):
        agent.invoke({"messages": [("user", "again")]}, thread)
    assert service.asked() == (10, 0)


def test_minutes_are_waited_out_and_told(
    service: Provider, home: Home, thread: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "SystemClock", SteppedClock)
    service.instead["sub"].append(busy(300))
    service.cells = (ASK, SHOW)
    before = datetime.now(UTC)
    agent = service.agent(home, [look], limits=TRIES)
    events = list(agent.stream({"messages": [("user", "q")]}, thread, stream_mode="custom"))
    (waiting,) = [event for event in events if event["type"] == "waiting"]
    assert (waiting["what"], waiting["why"]) == ("sub", "rate limit (429)")
    assert 300 <= (datetime.fromisoformat(waiting["until"]) - before).total_seconds() < 345
    assert [slot[0] for slot in open_run("over-http", home=home).answer.content] == [True] * 4


def test_a_drain_ends_a_wait_and_the_run_goes_on_later(service: Provider, home: Home, thread: Any) -> None:
    service.instead["sub"].append(busy(60))
    service.cells = (ASK, SHOW)
    agent, control = service.agent(home, limits=TRIES), RunControl()
    started = time.monotonic()

    def drained() -> None:
        for event in agent.stream({"messages": [("user", "q")]}, thread, stream_mode="custom", control=control):
            if event["type"] == "waiting":
                control.request_drain("SIGTERM")

    with pytest.raises(GraphDrained):
        drained()
    assert time.monotonic() - started < 10
    out = agent.invoke(None, thread)
    assert [slot[0] for slot in out["rlm"]["content"]] == [True] * 4
    assert service.asked() == (2, 5), "those that were under way are recorded"


def test_a_wait_ends_with_the_budgets_seconds(service: Provider, home: Home, thread: Any) -> None:
    service.instead["root"].append(busy(60))
    service.cells = (SHOW,)
    agent = service.agent(home, limits=TRIES, budget=Budget(seconds=1))
    started = time.monotonic()
    out = agent.invoke({"messages": [("user", "q")]}, thread)
    assert out["rlm"]["stopped_by"] == "budget"
    assert "Budget(seconds=...)" in out["rlm"]["raise"]
    assert time.monotonic() - started < 10


def test_a_wait_of_hours_is_not_waited_for(service: Provider, home: Home, thread: Any) -> None:
    service.instead["root"].append(busy(7200))
    service.cells = (SHOW,)
    with pytest.raises(ModelError, match="asks to wait 7200 s"):
        service.agent(home, limits=TRIES).invoke({"messages": [("user", "q")]}, thread)
    assert service.asked() == (1, 0)


def test_no_server_at_the_first_call_is_an_error_at_once(service: Provider, home: Home, thread: Any) -> None:
    nowhere = ChatOpenAI(model="root", base_url="http://127.0.0.1:9/v1", api_key="k")
    started = time.monotonic()
    with pytest.raises(ModelError, match="cannot connect"):
        create_rlm_agent(nowhere, home=home, checkpointer=home.checkpointer).invoke(
            {"messages": [("user", "q")]}, thread
        )
    assert time.monotonic() - started < 8
