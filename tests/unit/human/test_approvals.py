"""`interrupt_on` and its answers: what is accepted, what is a ConfigError that says what to give."""

from typing import Any

import pytest

from rlm_agent import BatchView, ConfigError, create_rlm_agent, over
from rlm_agent.human.answers import HumanQuestion, read_decision
from rlm_agent.human.approvals import resolve_approvals
from rlm_agent.testing import ScriptedModel

TOOLS = {"send", "look"}
EDIT = {"type": "edit", "edited_action": {"name": "send", "args": {"what": "글"}}}


def test_over_is_of_calls_or_of_money() -> None:
    batches = [BatchView(100, 0, 1.0), BatchView(101, 0, 1.0), BatchView(1, 0, 5.01), BatchView(1, 0, None)]
    assert [over(calls=100)(batch) for batch in batches] == [False, True, False, False]
    assert [over(usd=5)(batch) for batch in batches] == [False, False, True, True]
    assert [over(calls=100, usd=5)(batch) for batch in batches] == [False, True, True, True]


@pytest.mark.parametrize("bounds", [{}, {"calls": -1}, {"usd": "5"}, {"calls": True}, {"usd": float("nan")}])
def test_over_takes_numbers(bounds: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="over"):
        over(**bounds)


def test_resolved() -> None:
    given = {"send": True, "look": False, "llm_batch": {"when": over(calls=1)}, "ask_human": True}
    approvals = resolve_approvals(given, TOOLS, sub_calls=True)
    assert list(approvals.tools) == ["send"]
    assert approvals.tools["send"].allowed == ("approve", "edit", "reject", "respond")
    assert approvals.batch is not None
    assert approvals.batch.allowed == ("approve", "reject")
    assert approvals.ask is not None
    assert not resolve_approvals({"send": False}, TOOLS, sub_calls=True)
    assert not resolve_approvals(None, TOOLS, sub_calls=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sned": True}, "'sned'.*'look', 'send', 'llm_batch', 'ask_human'"),
        ({"send": "yes"}, "not 'yes'; give True, False, or a dict"),
        ({"send": {"allowed": ["approve"]}}, "the key 'allowed'"),
        ({"send": {"allowed_decisions": []}}, "choose of approve, edit, reject, respond"),
        ({"llm_batch": {"allowed_decisions": ["edit"]}}, "choose of approve, reject"),
        ({"ask_human": {"when": over(calls=1)}}, "when"),
        ({"send": {"when": 3}}, "when"),
        ({"llm_batch": {"description": 3}}, "description"),
        (["send"], "give a dict"),
    ],
)
def test_a_mistake_is_named(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve_approvals(given, TOOLS, sub_calls=True)


def test_without_sub_calls_only_a_person_can_be_asked() -> None:
    assert resolve_approvals({"ask_human": True}, (), sub_calls=False).ask
    with pytest.raises(ConfigError, match="max_depth=0"):
        create_rlm_agent(ScriptedModel(), interrupt_on={"llm_batch": True}, max_depth=0)


def payload(*allowed: str, name: str = "send") -> dict[str, Any]:
    return HumanQuestion("tool", name, {"what": "x"}, "text", allowed).payload("k")


ALL = ("approve", "edit", "reject", "respond")


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        ({"type": "approve"}, {"type": "approve"}),
        ({"decisions": [{"type": "approve"}]}, {"type": "approve"}),
        ({"type": "reject"}, {"type": "reject"}),
        ({"type": "reject", "message": "왜"}, {"type": "reject", "message": "왜"}),
        ({"type": "respond", "message": ""}, {"type": "respond", "message": ""}),
        (EDIT, EDIT),
        ({"type": "edit", "edited_action": {"args": {"what": "글"}}}, EDIT),
    ],
)
def test_decisions(answer: Any, decision: Any) -> None:
    assert read_decision(answer, payload(*ALL)) == decision


def test_a_text_answers_a_question() -> None:
    assert read_decision("서울", payload("respond", "reject")) == {"type": "respond", "message": "서울"}


@pytest.mark.parametrize(
    "answer",
    [
        "yes",
        None,
        True,
        {},
        {"type": "accept"},
        {"decisions": []},
        {"decisions": [{"type": "approve"}, {"type": "approve"}]},
        {"type": "respond"},
        {"type": "reject", "message": 3},
        {"type": "edit"},
        {"type": "edit", "edited_action": {"name": "other", "args": {}}},
        {"type": "edit", "edited_action": {"name": "send", "args": "x"}},
    ],
)
def test_any_other_answer_says_what_to_give(answer: Any) -> None:
    with pytest.raises(ConfigError, match=r"give \{'type': .*Nothing was lost: answer again"):
        read_decision(answer, payload(*ALL))


def test_only_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"give \{'type': 'approve'\} or \{'type': 'reject'"):
        read_decision(EDIT, payload("approve", "reject"))
