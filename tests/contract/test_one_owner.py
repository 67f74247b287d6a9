"""A run has one owner at a time; who comes second waits, then hears who it is, and its message is kept as a note."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph.state import CompiledStateGraph

from rlm_agent import Home, LeaseHeld, ModelError, create_rlm_agent
from rlm_agent.entries import activity
from rlm_agent.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "owned"}}
FIRST = "```python\nx = 1\n```"
READY = '```python\nanswer["content"] = task\nanswer["ready"] = True\n```'


class Slow:
    """A root that holds its first reply until it is released."""

    def __init__(self, path: Path) -> None:
        self.asked, self.release = threading.Event(), threading.Event()
        self.prompts: list[list[Any]] = []
        self.home = Home(path)
        self.agent = create_rlm_agent(
            ScriptedModel(replies=self.root), home=self.home, checkpointer=self.home.checkpointer
        )

    def root(self, messages: list[Any]) -> str:
        self.prompts.append(messages)
        if len(self.prompts) == 1:
            self.asked.set()
            self.release.wait(30)
            return FIRST
        return READY

    def ask(self, text: str) -> Any:
        return self.agent.invoke({"messages": [("user", text)]}, THREAD)


@pytest.fixture
def slow(tmp_path: Path) -> Any:
    made = Slow(tmp_path / "owned")
    yield made
    made.home.close()


def background(work: Any) -> tuple[threading.Thread, list[Any]]:
    box: list[Any] = []
    thread = threading.Thread(target=lambda: box.append(work()))
    thread.start()
    return thread, box


def test_a_second_call_waits_its_turn(slow: Slow) -> None:
    thread, first = background(lambda: slow.ask("one"))
    slow.asked.wait(30)
    other, second = background(lambda: slow.ask("two"))
    time.sleep(0.5)
    slow.release.set()
    thread.join()
    other.join()
    assert first[0]["rlm"]["content"] == "one"
    assert second[0]["rlm"]["content"] == "two", "the next question, once the first is answered"
    assert len(slow.prompts) == 3


def test_a_second_call_that_waited_in_vain_leaves_a_note(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "LEASE_WAIT", 0.3)
    thread, first = background(lambda: slow.ask("one"))
    slow.asked.wait(30)
    with pytest.raises(LeaseHeld, match="'owned'"):
        slow.ask("look at the appendix, too")
    slow.release.set()
    thread.join()
    assert first[0]["rlm"]["content"] == "one"
    assert "look at the appendix, too" in slow.prompts[1][-1].content


def test_the_lease_is_given_back_when_the_call_fails(slow: Slow) -> None:
    slow.release.set()
    bad = create_rlm_agent(ScriptedModel(replies=[ConnectionError("down")]), home=slow.home)
    with pytest.raises(ModelError, match="connection broke"):
        bad.invoke({"messages": [("user", "q")]}, THREAD)
    started = time.monotonic()
    assert slow.ask("q")["rlm"]["content"] == "q"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("stale", ["an older turn", "a turn of nobody"])
def test_a_head_that_only_a_checkpoint_names_gives_way(tmp_path: Path, stale: str) -> None:
    """Who lost the run may have written a checkpoint since; a resume goes on from the home's head, and says so."""
    replies = [FIRST, "```python\ny = x + 1\n```", ConnectionError("down"), READY.replace("task", "[x, y]")]
    with Home(tmp_path / "stale") as home:
        agent = create_rlm_agent(ScriptedModel(replies=replies), home=home, checkpointer=home.checkpointer)
        with pytest.raises(ModelError):
            agent.invoke({"messages": [("user", "q")]}, THREAD)
        (run,) = home.runs.list("owned")
        head = home.turns.list(run.id)[0].id if stale == "an older turn" else "f" * 64
        CompiledStateGraph.update_state(agent, THREAD, {"rlm_head": head}, as_node="generate_code")
        parts = list(agent.stream(None, THREAD, stream_mode=["custom", "values"]))
        (started,) = [part for mode, part in parts if mode == "custom" and part["type"] == "run.started"]
        assert (started["replaced_head"], started["resumed_turns"]) == (head, 2)
        assert parts[-1][1]["rlm"]["content"] == [1, 2]
        assert [turn.number for turn in home.turns.list(run.id)] == [1, 2, 3]


def test_a_wait_of_ones_own(slow: Slow) -> None:
    thread, _ = background(lambda: slow.ask("one"))
    slow.asked.wait(30)
    began = time.monotonic()
    with activity.lease_wait(0.0), pytest.raises(LeaseHeld, match=f"process {os.getpid()} "):
        slow.ask("two")
    assert time.monotonic() - began < 10
    slow.release.set()
    thread.join()
