"""The budget through whole runs: set aside before a call, settled after it, exact whatever runs side by side."""

import random
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.types import Command

from rlm_agent import Budget, Home, HomeError, Limits, ModelError, create_rlm_agent, open_run, over
from rlm_agent.budget import Account, Estimate
from rlm_agent.entries.activity import Activity
from rlm_agent.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "spender"}}
ASKED: Any = {"messages": [("user", "go")]}
SHOW = 'answer["content"] = out\nanswer["ready"] = True'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "runs")


def writes(*cells: str) -> list[str]:
    return [f"```python\n{cell}\n```" for cell in cells]


def used(sent: int, received: int, **more: Any) -> AIMessage:
    tokens = {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received}
    return AIMessage("said", usage_metadata=tokens, **more)  # type: ignore[arg-type]


class Aside:
    """What was set aside, watched from outside of the account."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.peak = 0
        reserve = Account.reserve

        def watched(account: Account, role: str, estimate: Estimate) -> bool:
            granted = reserve(account, role, estimate)
            bound, aside = account.budget.tokens, sum(account.reserved.values())
            if granted and bound is not None:
                assert account.tokens() + aside <= bound, "never granted beyond the bound"
                self.peak = max(self.peak, aside)
            return granted

        monkeypatch.setattr(Account, "reserve", watched)


@tool
def look(place: str) -> str:
    """Looks at a place."""
    return f"{place} is quiet"


@pytest.mark.parametrize("most", [None, 1200], ids=["no maximum known", "maximum known"])
def test_a_hundred_thousand_tokens_over_64_sub_agents_at_once(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], most: int | None
) -> None:
    aside, draw = Aside(monkeypatch), random.Random(3)

    def sub(messages: list[Any]) -> AIMessage:
        calls = [{"name": "look", "args": {"place": f"{len(messages)}"}, "id": f"c{len(messages)}"}]
        return used(20 * len(messages), draw.randint(200, 1200), tool_calls=calls)

    class Bounded(ScriptedModel):
        max_tokens: int | None = most

    cell = "r = llm_batch([f'item {i}' for i in range(64)])\nout = [s.error for s in r]\n" + SHOW
    agent = create_rlm_agent(
        ScriptedModel(replies=writes(cell)),
        [look],
        sub_model=Bounded(replies=sub, delay=0.01),
        home=home,
        budget=Budget(tokens=100_000),
        limits=Limits(concurrency=64),
    )
    out = agent.invoke(ASKED, THREAD)
    usage = out["rlm"]["usage"]
    spent = usage["total"]["input_tokens"] + usage["total"]["output_tokens"]
    over = max(0, spent - 100_000)
    with capsys.disabled():
        print(f"\n{spent} of 100000 tokens spent over 64 sub-agents, {over} over, {aside.peak} set aside at most")
    assert usage["sub"]["calls"] > 64, "sub-agents of several turns"
    assert spent > 60_000, "nor is it refused long before its end"
    assert over <= aside.peak
    if most is not None:
        assert over == 0


def test_slots_that_do_not_fit_say_so_and_cost_nothing(home: Home) -> None:
    sub = ScriptedModel(replies=lambda _: used(10, 3000))
    cell = "r = llm_batch([f'item {i}' for i in range(8)])\nout = [[s.ok, s.error] for s in r]\n" + SHOW
    agent = create_rlm_agent(
        ScriptedModel(replies=writes(cell)),
        sub_model=sub,
        home=home,
        budget=Budget(sub_tokens=6000),
        limits=Limits(concurrency=1),
    )
    out = agent.invoke(ASKED, THREAD)
    slots = out["rlm"]["content"]
    assert sub.calls == sum(ok for ok, _ in slots) < 8
    errors = [error for ok, error in slots if not ok]
    assert all(error.startswith("not sent: ") for error in errors)
    assert out["rlm"]["usage"]["sub"]["calls"] == sub.calls


def test_a_batch_that_does_not_fit_is_refused_before_it_is_sent(home: Home) -> None:
    cell = (
        "try:\n    llm_batch(['x' * 40_000] * 10)\nexcept RuntimeError as error:\n    out = [str(error), "
        "type(error).__name__]\n" + SHOW
    )
    sub = ScriptedModel(replies=lambda _: "y")
    agent = create_rlm_agent(
        ScriptedModel(replies=writes(cell)), sub_model=sub, home=home, budget=Budget(tokens=50_000)
    )
    text, kind = agent.invoke(ASKED, THREAD)["rlm"]["content"]
    assert kind == "BudgetExceeded"
    assert "this batch needs about 105000 tokens" in text
    assert "of 50000 are left of tokens" in text
    assert sub.calls == 0


def test_dollars_are_estimated_set_aside_and_told_with_the_batch(home: Home) -> None:
    cell = "r = llm_batch(['x' * 4000] * 3)\nout = [s.ok for s in r]\n" + SHOW
    refused = "try:\n    llm_batch(['x' * 400_000] * 3)\nexcept RuntimeError as error:\n    out = str(error)\n" + SHOW
    agent = create_rlm_agent(
        ScriptedModel(replies=writes(refused.replace(SHOW, "print(out)"), cell), model_name="gpt-4o"),
        sub_model=ScriptedModel(replies=lambda _: used(1000, 10), model_name="gpt-4o"),
        home=home,
        budget=Budget(usd=0.5),
    )
    events = list(agent.stream(ASKED, THREAD, stream_mode="custom"))
    run = open_run("spender", home=home)
    assert "needs about 0.7" in run.turns[0].output
    assert "USD" in run.turns[0].output
    assert run.answer.content == [True] * 3
    (started,) = [event for event in events if event["type"] == "batch.started"]
    assert started["tokens"] == 3 * 1500
    assert started["usd"] == pytest.approx(3 * (1000 * 2.5e-6 + 500 * 10e-6))


def test_an_unknown_price_is_none_in_the_batchs_event(home: Home) -> None:
    cell = "r = llm_batch(['x'])\nout = [s.ok for s in r]\n" + SHOW
    agent = create_rlm_agent(ScriptedModel(replies=writes(cell)), sub_model=ScriptedModel(replies=["y"]), home=home)
    events = list(agent.stream(ASKED, THREAD, stream_mode="custom"))
    assert [event["usd"] for event in events if event["type"] == "batch.started"] == [None]


def test_the_root_is_not_asked_what_does_not_fit(home: Home) -> None:
    root = ScriptedModel(replies=writes("x = 1", "x = 2", "x = 3"))
    agent = create_rlm_agent(root, home=home, checkpointer=home.checkpointer, budget=Budget(root_tokens=3000))
    out = agent.invoke(ASKED, THREAD)
    assert out["rlm"]["stopped_by"] == "budget"
    assert "Budget(root_tokens=...)" in out["rlm"]["raise"]
    assert 0 < root.calls < 3
    tokens = out["rlm"]["usage"]["root"]
    assert tokens["input_tokens"] + tokens["output_tokens"] <= 3000
    again = create_rlm_agent(
        ScriptedModel(replies=writes('out = "done"\n' + SHOW)),
        home=home,
        checkpointer=home.checkpointer,
        budget=Budget(root_tokens=60_000),
    ).invoke(None, THREAD)
    assert (again["rlm"]["content"], again["rlm"]["stopped_by"]) == ("done", "ready")


def test_a_failed_call_gives_back_what_was_set_aside(home: Home) -> None:
    replies = iter([ValueError("no")] * 20 + ["fine"] * 20)
    sub = ScriptedModel(replies=lambda _: next(replies))
    cell = (
        "a = llm_batch([str(i) for i in range(20)])\nb = llm_batch([f'again {i}' for i in range(4)])\n"
        "out = [sum(s.ok for s in a), sum(s.ok for s in b)]\n" + SHOW
    )
    agent = create_rlm_agent(
        ScriptedModel(replies=writes(cell)), sub_model=sub, home=home, budget=Budget(sub_tokens=12_000)
    )
    assert agent.invoke(ASKED, THREAD)["rlm"]["content"] == [0, 4]


def test_a_batch_that_was_let_through_is_not_refused_when_it_is_gone_on_with(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = "r = llm_batch([f'item {i}' for i in range(8)])\nout = [s.ok for s in r]\n" + SHOW
    record, paid = Activity.record, []

    async def until(self: Activity, step: Any) -> Any:
        if len(paid) == 4 and step.role == "sub":
            raise HomeError("the disk is gone")
        stored = await record(self, step)
        paid.extend([step] if step.role == "sub" else [])
        return stored

    def agent() -> Any:
        root, sub = ScriptedModel(replies=writes(cell)), ScriptedModel(replies=lambda _: used(100, 600))
        bounds, limits = Budget(sub_tokens=5000), Limits(concurrency=1)
        given = {"home": home, "checkpointer": home.checkpointer, "budget": bounds, "limits": limits}
        return create_rlm_agent(root, sub_model=sub, **given)

    with monkeypatch.context() as patch:
        patch.setattr(Activity, "record", until)
        with pytest.raises(HomeError, match="the disk is gone"):
            agent().invoke(ASKED, THREAD)
    out = agent().invoke(None, THREAD)
    assert out["rlm"]["content"] == [True] * 7 + [False]
    assert out["rlm"]["usage"]["sub"]["calls"] == 7


def test_a_low_budget_is_said_once_and_not_again_after_a_resume(home: Home) -> None:
    def low(events: list[Any]) -> list[tuple[str, float]]:
        return [(event["bound"], event["of"]) for event in events if event["type"] == "budget.low"]

    def agent(*replies: Any, **bounds: Any) -> Any:
        root = ScriptedModel(replies=list(replies))
        sub = ScriptedModel(replies=lambda _: "y")
        return create_rlm_agent(root, sub_model=sub, home=home, checkpointer=home.checkpointer, budget=Budget(**bounds))

    first, second, third = writes("r = llm_batch(['a'] * 8)", "r = llm_batch(['b'])", "out = 1\n" + SHOW)
    events: list[Any] = []
    entry = agent(first, second, ConnectionError("down"), sub_calls=10).stream(ASKED, THREAD, stream_mode="custom")
    with pytest.raises(ModelError, match="broke"):
        events.extend(entry)
    assert low(events) == [("sub_calls", 10)]
    assert low(list(agent(third, sub_calls=10).stream(None, THREAD, stream_mode="custom"))) == []


def priced(cells: list[str], sent: int, received: int, seen: list[list[Any]] | None = None) -> ScriptedModel:
    """A root of known price (2.5 and 10 USD for a million tokens) whose replies each take so many tokens."""
    replies = iter(writes(*cells))

    def reply(messages: list[Any]) -> Any:
        if seen is not None:
            seen.append(messages)
        return used(sent, received).model_copy(update={"content": next(replies, "asked too often")})

    return ScriptedModel(replies=reply, model_name="gpt-4o")


def test_a_run_that_dollars_stopped_goes_on_when_they_are_raised(home: Home) -> None:
    model = priced(["x = 1", 'out = "done"\n' + SHOW], 1000, 1000)
    agent = create_rlm_agent(model, home=home, checkpointer=home.checkpointer, budget=Budget(usd=0.015))
    out = agent.invoke(ASKED, THREAD)["rlm"]
    assert (out["stopped_by"], out["ready"], model.calls) == ("budget", False, 1)
    assert out["usage"]["total"]["usd"] == pytest.approx(0.0125)
    assert "Budget(usd=...)" in out["raise"]
    again = agent.invoke(None, THREAD)["rlm"]
    assert (again["stopped_by"], model.calls) == ("budget", 1), "nothing is bought beyond the bound"
    open_run("spender", home=home).extend(usd=+10)
    done = agent.invoke(None, THREAD)["rlm"]
    assert (done["content"], done["stopped_by"], model.calls) == ("done", "ready", 2)
    assert done["usage"]["total"]["usd"] == pytest.approx(0.025)


def test_the_root_is_told_what_is_left_of_tokens_and_dollars(home: Home) -> None:
    seen: list[list[Any]] = []
    model = priced(["r = llm_batch(['a', 'b'])", "out = 1\n" + SHOW], 100_000, 1000, seen)
    sub = ScriptedModel(replies=lambda _: used(10_000, 5000), model_name="gpt-4o")
    bounds = Budget(tokens=1_000_000, sub_tokens=50_000, usd=2, turns=5, sub_calls=10)
    create_rlm_agent(model, sub_model=sub, home=home, budget=bounds).invoke(ASKED, THREAD)
    (line,) = [line for line in seen[1][-1].text.splitlines() if line.startswith("Left: ")]
    # The root's 0.26 USD, and 0.075 for each of the two.
    left = "tokens 869000 of 1000000, sub_tokens 20000 of 50000, usd 1.59 of 2, turns 4 of 5, sub_calls 8 of 10"
    assert line == f"Left: {left}."


@pytest.mark.parametrize(("usd", "asks"), [(0.02, True), (0.03, False)])
def test_a_person_is_asked_about_a_batch_above_an_estimate_in_dollars(home: Home, usd: float, asks: bool) -> None:
    """Three prompts of 1,000 tokens and as many usual replies are estimated at 0.0225 USD."""
    cell = "r = llm_batch(['x' * 4000] * 3)\nout = [s.ok for s in r]\n" + SHOW
    sub = ScriptedModel(replies=lambda _: used(1000, 10), model_name="gpt-4o")
    gate = {"llm_batch": {"when": over(usd=usd)}}
    kept: Any = {"home": home, "checkpointer": home.checkpointer, "interrupt_on": gate}
    agent = create_rlm_agent(priced([cell], 1000, 100), sub_model=sub, **kept)
    out = agent.invoke(ASKED, THREAD)
    if asks:
        (waiting,) = out["__interrupt__"]
        assert waiting.value["action_requests"][0]["args"]["usd"] == pytest.approx(0.0225)
        assert sub.calls == 0
        out = agent.invoke(Command(resume={"type": "approve"}), THREAD)
    assert (out["rlm"]["content"], sub.calls) == ([True] * 3, 3)
