"""`create_rlm_agent(kernel=...)` from end to end: bubblewrap by its name, and a factory of the caller's."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Home, Limits, create_rlm_agent, open_run
from rlm_agent.repl.kernel import Session
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.testing import ScriptedModel

CONFIG: Any = {"configurable": {"thread_id": "t"}}
FIRST = """```python
import os, pathlib
kept = [context[:2], str(llm("?"))]
seen = [os.readlink("/proc/self/ns/pid"), pathlib.Path(SECRET).exists()]
answer["content"] = [*kept, *seen]
answer["ready"] = True
```"""
SECOND = '```python\nanswer["content"] = kept\nanswer["ready"] = True\n```'


def asked(home: Home, kernel: Any, reply: str, **given: Any) -> Any:
    """One question on the thread, by an agent of its own. Returns its events, and its result."""
    root, sub = ScriptedModel(replies=[reply]), ScriptedModel(replies=lambda _: "하위")
    limits = Limits(cell_seconds=77)
    agent = create_rlm_agent(
        root, sub_model=sub, kernel=kernel, limits=limits, home=home, checkpointer=home.checkpointer
    )
    modes: Any = ["custom", "values"]
    events = list(agent.stream({"messages": [("user", reply)], **given}, CONFIG, stream_mode=modes))
    return [event for mode, event in events if mode == "custom"], events[-1][1]["rlm"]


@pytest.mark.slow
def test_bubblewrap_by_its_name(tmp_path: Path) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bwrap: install the package bubblewrap")
    # No sandbox hides that a file is there; a file system of its own does.
    secret = tmp_path / "secret"
    secret.write_text("비밀")
    first = FIRST.replace("SECRET", repr(str(secret)))
    with Home(tmp_path / "h") as home:
        events, result = asked(home, "bwrap", first, context="입력이다")
        assert next(e for e in events if e["type"] == "run.started")["isolation"].startswith("bubblewrap; ")
        start, said, processes, exists = result["content"]
        assert (start, said, exists) == ("입력", "하위", False)
        assert processes != os.readlink("/proc/self/ns/pid")
        _, result = asked(home, "bwrap", SECOND)
        assert result["content"] == ["입력", "하위"]
        # The snapshot is any kernel's.
        _, result = asked(home, "process", SECOND.replace("kept", "kept * 2"))
        assert result["content"] == ["입력", "하위"] * 2
        assert open_run("t", home=home).eval("kept").output.strip() == "['입력', '하위']"


class Counting:
    """A kernel of the caller's own, which is no more than the two members of the protocol."""

    isolation = "마음대로"

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sessions = 0
        self._inner = ProcessKernel(limits)

    async def session(self) -> Session:
        self.sessions += 1
        return await self._inner.session()


def test_a_factory(tmp_path: Path) -> None:
    made: list[Counting] = []

    def factory(limits: Limits) -> Counting:
        made.append(Counting(limits))
        return made[-1]

    with Home(tmp_path / "h") as home:
        events, result = asked(home, factory, FIRST.replace("SECRET", "'/'"), context="입력이다")
        assert next(e for e in events if e["type"] == "run.started")["isolation"] == "마음대로"
        assert result["content"][:2] == ["입력", "하위"]
        _, result = asked(home, factory, SECOND)
        assert result["content"] == ["입력", "하위"]
    # One an agent, with the agent's limits; the second starts from what the first one saved.
    assert [(kernel.limits.cell_seconds, kernel.sessions) for kernel in made] == [(77, 1), (77, 1)]
