"""A run has one owner at a time; who comes second waits, then hears who it is, and its message is kept as a note."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Home, LeaseHeld, ModelError, activity, create_rlm_agent
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
