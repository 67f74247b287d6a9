"""Where a system has no layer: what an agent and the command line do, by what was asked for. The layers are masked."""

from typing import Any

import pytest
from command_line import Rlm

from rlm_agent import Limits, SandboxUnavailable, create_rlm_agent, runs
from rlm_agent.repl import process
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.testing import ScriptedModel

# What no sandboxed cell can: see a file of the user's, and make a socket.
CELL = """```python
import pathlib, socket
socket.socket().close()
answer["content"] = len(pathlib.Path("/etc/passwd").read_bytes()) > 0
answer["ready"] = True
```"""
CONFIG: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture(autouse=True)
def nobody_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLM_ALLOW_UNSANDBOXED", raising=False)


def agent(root: ScriptedModel, sandbox: Any) -> Any:
    return create_rlm_agent(
        root, limits=Limits(sandbox=sandbox), kernel=lambda limits: ProcessKernel(limits, layers=())
    )


def invoked(root: ScriptedModel, sandbox: Any) -> Any:
    return agent(root, sandbox).invoke({"messages": [("user", "go")]}, CONFIG)


@pytest.mark.parametrize("sandbox", ["auto", "required"])
def test_an_agent_refuses_before_anything_is_paid(sandbox: str) -> None:
    root = ScriptedModel(replies=lambda _: CELL)
    with pytest.raises(SandboxUnavailable, match="seccomp: left out") as raised:
        invoked(root, sandbox)
    assert "\n" not in str(raised.value)
    assert root.calls == 0
    ways = ("RLM_ALLOW_UNSANDBOXED=1", 'sandbox="off"') if sandbox == "auto" else ("`rlm doctor`",)
    assert all(way in str(raised.value) for way in ways)


def test_an_agent_that_was_refused_goes_on_when_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SandboxUnavailable):
        invoked(ScriptedModel(replies=lambda _: CELL), "auto")
    monkeypatch.setenv("RLM_ALLOW_UNSANDBOXED", "1")
    assert invoked(ScriptedModel(replies=lambda _: CELL), "auto")["rlm"]["content"] is True
    assert len(runs("t")) == 1


def test_leave_is_no_answer_to_what_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_ALLOW_UNSANDBOXED", "1")
    with pytest.raises(SandboxUnavailable, match=r"files, network, signals cannot be closed"):
        invoked(ScriptedModel(replies=lambda _: CELL), "required")


@pytest.mark.parametrize(
    ("sandbox", "leave", "isolation"),
    [("off", "", 'none (sandbox="off")'), ("auto", "1", "none (RLM_ALLOW_UNSANDBOXED=1)")],
)
def test_an_agent_that_does_without_says_so(
    sandbox: str, leave: str, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLM_ALLOW_UNSANDBOXED", leave)
    modes: Any = ["custom", "values"]
    events = list(
        agent(ScriptedModel(replies=lambda _: CELL), sandbox).stream(
            {"messages": [("user", "go")]}, CONFIG, stream_mode=modes
        )
    )
    started = next(event for mode, event in events if mode == "custom" and event["type"] == "run.started")
    assert started["isolation"] == isolation
    assert events[-1][1]["rlm"]["content"] is True


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel by name has no layer, either."""
    monkeypatch.setattr(process, "NAMES", ())


@pytest.mark.usefixtures("masked")
def test_the_command_line_refuses_in_one_line(rlm: Rlm) -> None:
    ended = rlm("run", "go", "--model", "offline", "--quiet")
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    assert "No isolation is to be had here" in line
    assert "RLM_ALLOW_UNSANDBOXED=1" in line


@pytest.mark.usefixtures("masked")
def test_the_command_line_does_without_and_says_so(rlm: Rlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_ALLOW_UNSANDBOXED", "1")
    ended = rlm("run", "go", "--model", "offline")
    assert ended.code in (0, 3), ended.err
    assert "isolation: none (RLM_ALLOW_UNSANDBOXED=1): run trusted models only" in ended.err
