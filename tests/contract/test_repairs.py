"""Sub-answers with a schema: one repair, shown what is wrong, paid once whatever is killed in between."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from rlm_agent import Budget, Home, HomeError, create_rlm_agent, open_run
from rlm_agent.entries.activity import Activity
from rlm_agent.testing import ScriptedModel

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
CELL = f'r = llm_batch(["how many?"], schema={SCHEMA!r})[0]\nout = [r.ok, r.data, r.error, r.usage]\n'
SHOW = 'answer["content"] = out\nanswer["ready"] = True'
ASKED: Any = {"messages": [("user", "go")]}
THREAD: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "runs")


@tool
def look(place: str) -> str:
    """Looks at a place."""
    return f"{place} is quiet"


def run(home: Home, sub: ScriptedModel, tools: Any = (), **options: Any) -> Any:
    """One slot of one batch: [ok, data, error, usage]."""
    root = ScriptedModel(replies=[f"```python\n{CELL}{SHOW}\n```"])
    agent = create_rlm_agent(root, tools, sub_model=sub, home=home, checkpointer=home.checkpointer, **options)
    return agent.invoke(ASKED, THREAD)["rlm"]["content"]


WRONG = '{"n": "three"}'


@pytest.mark.parametrize("tools", [(), (look,)], ids=["plain", "with tools"])
@pytest.mark.parametrize(("first", "says"), [(WRONG, "$.n: "), ("three, I think", "no JSON"), ("[]", "$: ")])
def test_the_model_is_shown_its_reply_and_what_is_wrong(home: Home, tools: Any, first: str, says: str) -> None:
    seen: list[list[Any]] = []

    def sub(messages: list[Any]) -> str:
        seen.append(messages)
        return first if len(seen) == 1 else '{"n": 3}'

    ok, data, error, usage = run(home, ScriptedModel(replies=sub), tools)
    assert (ok, data, error) == (True, {"n": 3}, None)
    assert usage["calls"] == 2
    *start, reply, complaint = seen[1]
    assert [message.text for message in start] == [message.text for message in seen[0]]
    assert (reply.type, reply.text) == ("ai", first)
    assert says in complaint.text
    assert open_run("t", home=home).usage["sub"]["calls"] == 2


@pytest.mark.parametrize("tools", [(), (look,)], ids=["plain", "with tools"])
def test_there_is_no_second_repair(home: Home, tools: Any) -> None:
    sub = ScriptedModel(replies=lambda _: WRONG)
    ok, _, error, usage = run(home, sub, tools)
    assert (ok, sub.calls, usage["calls"]) == (False, 2, 2)
    assert "$.n: 'three' is not of type 'integer'" in error


def test_a_reply_that_matches_costs_one_call_and_one_record(home: Home) -> None:
    sub = ScriptedModel(replies=['{"n": 3}'])
    assert run(home, sub)[:2] == [True, {"n": 3}]
    assert home.ledger.count(open_run("t", home=home).id, "model", 1) == 0


def test_a_reply_that_was_cut_is_not_repaired(home: Home) -> None:
    cut = AIMessage('{"n": ', response_metadata={"finish_reason": "length"})
    sub = ScriptedModel(replies=lambda _: cut)
    ok, _, error, _ = run(home, sub)
    assert (ok, sub.calls) == (False, 1)
    assert "cut off" in error


def test_a_repair_that_fails_leaves_the_complaint_and_says_why(home: Home) -> None:
    ok, _, error, usage = run(home, ScriptedModel(replies=[WRONG, ValueError("gone")]))
    assert (ok, usage["calls"]) == (False, 1)
    assert "is not of type 'integer'" in error
    assert "gone" in error


def test_a_repair_that_the_budget_does_not_allow(home: Home) -> None:
    tokens = {"input_tokens": 2000, "output_tokens": 2000, "total_tokens": 4000}
    sub = ScriptedModel(replies=lambda _: AIMessage(WRONG, usage_metadata=tokens))  # type: ignore[arg-type]
    ok, _, error, _ = run(home, sub, budget=Budget(sub_tokens=4500))
    assert (ok, sub.calls) == (False, 1)
    assert "no repair: not sent: the call needs about" in error


@pytest.mark.parametrize("tools", [(), (look,)], ids=["plain", "with tools"])
@pytest.mark.parametrize("kept", [1, 2])
def test_what_was_recorded_is_not_paid_again(
    home: Home, monkeypatch: pytest.MonkeyPatch, tools: Any, kept: int
) -> None:
    """The home fails right after the n-th paid reply is on record; the run goes on later."""
    record, paid = Activity.record, []

    async def until(self: Activity, step: Any) -> Any:
        if len(paid) == kept and step.role != "root":
            raise HomeError("the disk is gone")
        stored = await record(self, step)
        paid.extend([step] if step.role == "sub" else [])
        return stored

    replies = [WRONG, '{"n": 3}']
    with monkeypatch.context() as patch:
        patch.setattr(Activity, "record", until)
        with pytest.raises(HomeError, match="the disk is gone"):
            run(home, ScriptedModel(replies=[*replies[:kept], "not recorded"]), tools)
    assert len(paid) == kept
    rest = ScriptedModel(replies=replies[kept:])
    ok, data, _, usage = run(home, rest, tools)
    assert (ok, data, rest.calls, usage["calls"]) == (True, {"n": 3}, 2 - kept, 2)
    assert open_run("t", home=home).usage["sub"]["calls"] == 2
