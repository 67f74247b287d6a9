"""Systems that lack layers of the sandbox: what `rlm doctor` tells of each, and what agents and `rlm run` do there.

The layers are masked, as on macOS; all else is real.
"""

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Home, Limits, SandboxUnavailable, create_rlm_agent
from rlm_agent.repl.isolation import NAMES
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.testing import ScriptedModel

READY = "```python\nanswer['content'] = len(open('/etc/passwd').read()) > 0\nanswer['ready'] = True\n```"
ALLOW = "RLM_ALLOW_UNSANDBOXED"


def mask(monkeypatch: pytest.MonkeyPatch, *left: str) -> None:
    """Leaves a system with these layers."""
    monkeypatch.delenv(ALLOW, raising=False)
    monkeypatch.setattr("rlm_agent.repl.process.ProcessKernel", functools.partial(ProcessKernel, layers=left))


def layers_of(rlm: Any) -> tuple[Any, dict[str, Any], list[str]]:
    """The report of the REPL, its layers by name, and the lines of the text."""
    report = json.loads(rlm("doctor", "--json").out)["repl"]
    return report, {layer["name"]: layer for layer in report["sandbox"]["layers"]}, rlm("doctor").out.splitlines()


def test_doctor_tells_each_layer_what_it_blocks_and_whether_it_is_active(rlm: Any) -> None:
    report, layers, lines = layers_of(rlm)
    assert tuple(layers) == NAMES
    for name, layer in layers.items():
        assert layer["active"] == (layer["why"] == "")
        assert layer["blocks"]
        (line,) = [line.strip() for line in lines if line.startswith(f"  {name} ")]
        assert ("NOT ACTIVE" in line) != layer["active"]
        assert line.endswith(f"; against {layer['blocks']}")
    tried = [line for line in lines if line.startswith("  tried to ")]
    assert len(tried) == len(report["sandbox"]["attempts"]) >= 6
    assert f"isolation    {report['isolation']}" in lines


@pytest.mark.parametrize("lacks", ["landlock", "seccomp", "namespaces"])
def test_doctor_names_the_layer_that_is_not_active_and_why(
    rlm: Any, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask(monkeypatch, *(name for name in NAMES if name != lacks))
    report, layers, lines = layers_of(rlm)
    assert not layers[lacks]["active"]
    assert layers[lacks]["why"]
    assert any(line.startswith(f"  {lacks} ") and f"NOT ACTIVE ({layers[lacks]['why']})" in line for line in lines)
    assert lacks not in report["isolation"].partition("(")[2]


def test_doctor_where_nothing_confines_a_cell(rlm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mask(monkeypatch)
    ended = rlm("doctor")
    assert ended.code == 1
    assert ended.out.count("NOT ACTIVE") == len(NAMES)
    assert "tried to read files: IT WORKED" in ended.out
    assert f"set {ALLOW}=1" in ended.out
    assert ended.out.splitlines()[-1] == "something fails, see above"
    monkeypatch.setenv(ALLOW, "1")
    ended = rlm("doctor")
    assert ended.code == 0
    assert f"isolation    none ({ALLOW}=1): run trusted models only" in ended.out


def run(home: Path, **limits: Any) -> tuple[Any, str]:
    """An agent's answer, and the isolation that it told."""
    with Home(home) as opened:
        agent = create_rlm_agent(ScriptedModel([READY]), limits=Limits(**limits), home=opened)
        parts = list(agent.stream({"messages": [("user", "q")]}, stream_mode=["custom", "values"]))
    (started,) = [part for mode, part in parts if mode == "custom" and part["type"] == "run.started"]
    return parts[-1][1]["rlm"]["content"], started["isolation"]


@pytest.mark.parametrize("sandbox", ["auto", "required"])
def test_an_agent_refuses_to_run_without_layers(sandbox: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mask(monkeypatch)
    with pytest.raises(SandboxUnavailable, match="left out"):
        run(tmp_path / "own", sandbox=sandbox)


def test_an_agent_runs_without_layers_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mask(monkeypatch)
    assert run(tmp_path / "one", sandbox="off") == (True, 'none (sandbox="off")')
    monkeypatch.setenv(ALLOW, "1")
    assert run(tmp_path / "two", sandbox="auto") == (True, f"none ({ALLOW}=1)")
    with pytest.raises(SandboxUnavailable, match="required"):
        run(tmp_path / "three", sandbox="required")


def test_rlm_run_without_layers_is_one_line_that_says_what_to_do(rlm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mask(monkeypatch)
    question = ("run", "Which module defines the class Point?", "--model", "offline")
    ended = rlm(*question)
    assert ended.code != 0
    assert ended.out == ""
    assert f"set {ALLOW}=1" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    monkeypatch.setenv(ALLOW, "1")
    ended = rlm(*question)
    assert ended.code == 0
    assert f"isolation: none ({ALLOW}=1)" in ended.err
