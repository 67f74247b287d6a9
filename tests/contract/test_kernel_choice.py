"""`create_rlm_agent(kernel=...)`: whole agents over each kernel, and over one that an application brings."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import ConfigError, Home, Limits, create_rlm_agent, open_run
from rlm_agent.repl.kernel import Kernel, Session
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "t"}}
ASK = """```python
import os
seen = os.path.exists({outside!r})
replies = [str(r) for r in llm_batch([f"part {{n}}" for n in range(3)])]
open("note.txt", "w").write("kept")
```"""
ANSWER = """```python
answer["content"] = f"{seen} {len(replies)} {open('note.txt').read()}"
answer["ready"] = True
```"""
MORE = '```python\nanswer["content"] = replies[2]\nanswer["ready"] = True\n```'


class Counted:
    """A kernel of an application's own: it counts its sessions."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.sessions = limits, 0
        self._kernel: Kernel = ProcessKernel(limits)

    @property
    def isolation(self) -> str:
        return f"counted; {self._kernel.isolation}"

    async def session(self) -> Session:
        self.sessions += 1
        return await self._kernel.session()


def asked(kernel: Any, tmp_path: Path) -> tuple[str, str, str]:
    """Two questions on one thread, the second in an agent of its own: both answers, and the isolation that was told."""
    outside = tmp_path / "outside"
    outside.write_text("of the host")
    events: list[Any] = []
    with Home(tmp_path / "own") as home:
        for root in ([ASK.format(outside=str(outside)), ANSWER], [MORE]):
            agent = create_rlm_agent(
                ScriptedModel(root),
                sub_model=ScriptedModel(replies=lambda m: f"re {m[-1].content}"),
                kernel=kernel,
                limits=Limits(memory_mb=2000),
                home=home,
                checkpointer=home.checkpointer,
            )
            given = {"messages": [("user", "q")]}
            events += agent.stream(given, THREAD, stream_mode="custom")
        first, second = (turn.answer.content for turn in open_run("t", home=home).turns[-2:])
    told = next(event["isolation"] for event in events if event["type"] == "run.started")
    return first, second, told


def test_the_default(tmp_path: Path) -> None:
    """The existence of a file outside can be asked for: docs/security.md."""
    first, second, told = asked("process", tmp_path)
    assert (first, second) == ("True 3 kept", "re part 2")
    assert told == ProcessKernel(Limits()).isolation


@pytest.mark.slow
def test_bubblewrap(tmp_path: Path) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bwrap: install the package bubblewrap")
    first, second, told = asked("bwrap", tmp_path)
    assert (first, second) == ("False 3 kept", "re part 2")
    assert told.startswith("bubblewrap")


def test_one_that_the_application_brings(tmp_path: Path) -> None:
    made: list[Counted] = []

    def factory(limits: Limits) -> Counted:
        made.append(Counted(limits))
        return made[-1]

    first, second, told = asked(factory, tmp_path)
    assert (first, second) == ("True 3 kept", "re part 2")
    assert told.startswith("counted; ")
    assert [(kernel.sessions, kernel.limits.memory_mb) for kernel in made] == [(1, 2000), (1, 2000)]


def test_bubblewrap_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="bubblewrap"):
        create_rlm_agent("offline", kernel="bwrap")
