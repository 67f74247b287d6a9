"""Golden runs: homes that earlier versions wrote, on whatever Python, are read and gone on with by this one."""

import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rlm_agent import Home, StateVersionError, open_run

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.zip"))
THREAD: Any = {"configurable": {"thread_id": "골든"}}
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
EXPECTED = [
    True, [1, 2.5, None, "셋"], 7.0, True, 799980000, True, 13, True, 7, "x**2 + 1", "2026-01-02T00:00:00", "1.10",
    "a+", ["re look at 가", "re look at notes.txt"], ["골든", "골든"],
]  # fmt: skip


def load(name: str) -> ModuleType:
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent.parent / "golden" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=GOLDEN, ids=lambda file: file.stem)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(tmp_path / "golden")
    (tmp_path / "golden" / "home.key").chmod(0o600)
    return request.param.stem, tmp_path / "golden" / "home"


def test_there_are_golden_runs() -> None:
    assert GOLDEN


def test_a_golden_run_is_read_without_a_worker(golden: tuple[str, Path]) -> None:
    run = open_run("골든", home=golden[1])
    assert [turn.number for turn in run.turns] == [1, 2, 3, 4]
    assert run.status == "open"
    assert run.answer.content == "half"
    assert "ZeroDivisionError" in run.turns[2].error
    assert run.turns[3].output == "2 found"
    assert {"numbers", "grid", "count", "expression"} <= {variable.name for variable in run.variables()}
    assert [loss["name"] for loss in run.turns[2].lost] == ["lines"]
    assert run.usage["total"]["calls"] == 6


def test_a_golden_run_goes_on_and_asks_nothing_again(golden: tuple[str, Path]) -> None:
    name, path = golden
    make, asked = load("make"), list[str]()
    with Home(path) as home:
        agent = make.build(home, [make.fenced(make.LAST)], lambda messages: asked.append(str(messages)) or "new")
        config, foreign = THREAD, not name.endswith(PYTHON)
        if foreign:
            with pytest.raises(StateVersionError, match="rlm resume"):
                agent.invoke(None, config)
            agent = make.build(home, [make.fenced(make.LAST)], lambda messages: asked.append(str(messages)) or "new")
            config = {"configurable": {**THREAD["configurable"], "rlm_rebuild": True}}
        content = agent.invoke(None, config)["rlm"]["content"]
    assert content[: len(EXPECTED)] == EXPECTED
    assert content[-3].startswith("<lost generator")
    assert content[-2:] == [[True] * 4, ["notes.txt", "가"]]
    assert (asked, make.LOOKS) == ([], [])
