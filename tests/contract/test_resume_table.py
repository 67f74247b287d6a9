"""What a call does on a thread: the table of the contract, section 6, a row a test."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from rlm_agent import Budget, ConfigError, Home, HomeError, ModelError, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel, read_calls

READY = '```python\nanswer["content"] = f"{task}: {len(context or [])} {n}"\nanswer["ready"] = True\n```'
FIRST = "```python\nn = 1\n```"
MORE = "```python\nn += 1\n```"
THREAD: Any = {"configurable": {"thread_id": "t"}}


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [("user", text)], **more}


class Bench:
    """An agent on one thread whose root can be told to fail at its n-th call."""

    def __init__(self, tmp_path: Path, saver: bool = True) -> None:
        self.log = tmp_path / "calls.jsonl"
        self.home = Home(tmp_path / "bench")
        self.saver = saver
        self.seen: list[list[Any]] = []

    def agent(self, replies: list[Any], **options: Any) -> Any:
        script = iter(replies)

        def root(messages: list[Any]) -> Any:
            self.seen.append(messages)
            return next(script)

        saver = self.home.checkpointer if self.saver else None
        model = ScriptedModel(replies=root, log=self.log)
        return create_rlm_agent(model, home=self.home, checkpointer=saver, **options)

    def unfinished(self, **more: Any) -> None:
        """Leaves the thread with one turn done and the second reply failed."""
        with pytest.raises(ModelError):
            self.agent([FIRST, ConnectionError("down")]).invoke(asked("q", **more), THREAD)

    @property
    def paid(self) -> int:
        return len(read_calls(self.log, "reply"))


@pytest.fixture(params=[True, False], ids=["saver", "no saver"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, request.param)


def texts(out: dict[str, Any]) -> list[str]:
    return [message.content for message in out["messages"]]


@pytest.mark.parametrize("given", [None, asked("q", context="abc"), asked("q")], ids=["None", "equal", "no context"])
def test_unfinished_resumes(bench: Bench, given: Any) -> None:
    bench.unfinished(context="abc")
    out = bench.agent([READY]).invoke(given, THREAD)
    assert out["rlm"]["content"] == "q: 3 1"
    assert out["rlm"]["turns"] == 2
    assert bench.paid == 2
    assert texts(out) == ["q", "q: 3 1"], "the message is not added again"


@pytest.mark.parametrize("place", ["rlm_agent.nodes.check_answer._complaint", "rlm_agent.nodes.finish._conclude"])
def test_a_ready_answer_is_checked_and_given_not_asked_for_again(
    bench: Bench, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise HomeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(place, broken)
        with pytest.raises(HomeError):
            bench.agent([FIRST, READY]).invoke(asked("q", context="abc"), THREAD)
    checked: list[Any] = []
    out = bench.agent([], check=checked.append).invoke(None, THREAD)
    assert (out["rlm"]["content"], out["rlm"]["turns"], bench.paid) == ("q: 3 1", 2, 2)
    assert checked == (["q: 3 1"] if "check" in place else []), "what was checked is on record"


def test_a_note_to_a_ready_answer_is_read_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise HomeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("rlm_agent.nodes.finish._conclude", broken)
        with pytest.raises(HomeError):
            bench.agent([FIRST, READY]).invoke(asked("q", context="abc"), THREAD)
    out = bench.agent([READY.replace("{n}", "{n + 1}")]).invoke(asked("one more"), THREAD)
    assert out["rlm"]["content"] == "q: 3 2"
    assert "one more" in bench.seen[-1][-1].content


def test_unfinished_and_another_message_is_a_note(bench: Bench) -> None:
    bench.unfinished(context="abc")
    out = bench.agent([READY]).invoke(asked("hurry up"), THREAD)
    assert "hurry up" in bench.seen[-1][-1].content, "the root reads the note at its next turn"
    assert out["rlm"]["content"] == "q: 3 1"
    assert texts(out) == ["q", "hurry up", "q: 3 1"]


def test_unfinished_and_another_context_is_refused(bench: Bench) -> None:
    bench.unfinished(context="abc")
    with pytest.raises(ConfigError, match="another context"):
        bench.agent([READY]).invoke(asked("q", context="other"), THREAD)
    assert bench.agent([READY]).invoke(None, THREAD)["rlm"]["content"] == "q: 3 1"


def test_stopped_by_turns_goes_on_when_the_bound_allows(bench: Bench) -> None:
    out = bench.agent([FIRST], budget=Budget(turns=1)).invoke(asked("q"), THREAD)
    assert (out["rlm"]["stopped_by"], out["rlm"]["ready"], out["rlm"]["turns"]) == ("turns", False, 1)
    assert out["messages"][-1].content, "a final message is never empty"
    again = bench.agent([], budget=Budget(turns=1)).invoke(None, THREAD)
    assert again["rlm"]["stopped_by"] == "turns"
    assert "Budget(turns=...)" in again["rlm"]["raise"]
    out = bench.agent([READY], budget=Budget(turns=2)).invoke(None, THREAD)
    assert (out["rlm"]["stopped_by"], out["rlm"]["content"]) == ("ready", "q: 0 1")
    assert bench.paid == 2


def test_answered_and_none_gives_the_last_output(bench: Bench) -> None:
    bench.agent([FIRST, READY]).invoke(asked("q"), THREAD)
    out = bench.agent([]).invoke(None, THREAD)
    assert out["rlm"]["content"] == "q: 0 1"
    assert bench.paid == 2


def test_answered_and_a_message_is_the_next_question_in_the_same_repl(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.agent([FIRST, READY]).invoke(asked("q", context="abcd"), THREAD)
    out = bench.agent([MORE, READY]).invoke(asked("q"), THREAD)
    assert out["rlm"]["content"] == "q: 4 2", "variables and context stay, an equal message is a new question"
    assert out["rlm"]["turns"] == 2, "turns are the question's"
    assert [turn.number for turn in open_run("t", home=bench.home).turns] == [1, 2, 3, 4]
    assert texts(out) == ["q", "q: 4 1", "q", "q: 4 2"]


def test_the_next_question_may_bring_a_new_context(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.agent([FIRST, READY]).invoke(asked("q", context="abcd"), THREAD)
    out = bench.agent([MORE, READY]).invoke(asked("next", context="ab"), THREAD)
    assert out["rlm"]["content"] == "next: 2 2", "the variables stay, the context is the new one"
    out = bench.agent([READY]).invoke(asked("last"), THREAD)
    assert out["rlm"]["content"] == "last: 2 2", "and it stays for the question after"


def test_without_a_saver_there_is_no_memory_across_finished_questions(tmp_path: Path) -> None:
    bench = Bench(tmp_path, saver=False)
    out = bench.agent([FIRST, READY]).invoke(asked("q"), THREAD)
    assert out["rlm"]["durable"] is False
    out = bench.agent([FIRST, READY]).invoke(asked("q"), THREAD)
    assert (out["rlm"]["content"], out["rlm"]["turns"]) == ("q: 0 1", 2)
    assert bench.paid == 4


def test_malformed_replies_end_the_run_with_what_there_is(bench: Bench) -> None:
    partial = '```python\nanswer["content"] = "so far"\n```'
    out = bench.agent([partial, "no code", "none", AIMessage("still none")]).invoke(asked("q"), THREAD)
    assert (out["rlm"]["stopped_by"], out["rlm"]["content"], out["rlm"]["ready"]) == ("malformed", "so far", False)
    assert out["messages"][-1].content == "so far"


def test_recursion_limit_is_a_backstop(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    out = bench.agent([FIRST] + [MORE] * 20).invoke(asked("q"), {**THREAD, "recursion_limit": 20})
    assert out["rlm"]["stopped_by"] == "recursion_limit"
    assert "recursion_limit" in out["rlm"]["raise"]


def test_a_recursion_limit_bound_to_the_agent_counts(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bound = bench.agent([FIRST] + [MORE] * 20).with_config(recursion_limit=20)
    assert bound.invoke(asked("q"), THREAD)["rlm"]["stopped_by"] == "recursion_limit"
