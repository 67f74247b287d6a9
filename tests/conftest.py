"""Shared by all tests: a home of its own for every test, no key of the developer's, options, processes, the matrix."""

import os
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tables import hand_over, merge, table

MOST_PROCESSES = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, too")
    parser.addoption("--exhaustive", action="store_true", help="run what takes half an hour and more, too")
    parser.addoption("--kills", type=int, default=8, help="how often the crash suite kills its run of thirty turns")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Whole folders run in a process for each core, file by file, where pytest-xdist is there; `-n 0` is for one."""
    option = config.option
    if getattr(option, "numprocesses", 0) is not None or hasattr(config, "workerinput"):
        return
    looked_at = option.capture == "no" or option.collectonly or option.usepdb or option.trace
    folders = all(Path(argument).is_dir() for argument in config.args)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if folders and cores > 1 and not looked_at:
        option.numprocesses, option.dist = min(cores, MOST_PROCESSES), "loadfile"


def pytest_sessionfinish(session: pytest.Session) -> None:
    hand_over(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A hook of pytest-xdist: one of its processes has ended."""
    merge(node.config, getattr(node, "workeroutput", {}))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Suites that need more than the extra `test` are off unless what they need is there."""
    off = {
        "slow": "" if config.getoption("--slow") else "run with --slow",
        "exhaustive": "" if config.getoption("--exhaustive") else "run with --exhaustive",
        "postgres": "" if "RLM_TEST_POSTGRES" in os.environ else "name a server in RLM_TEST_POSTGRES",
        "extras": "" if find_spec("deepagents") and find_spec("pandas") else "pip install deepagents pandas",
        "mcp": "" if find_spec("langchain_mcp_adapters") else "pip install 'langgraph-rlm[mcp]'",
        "local_model": "" if "RLM_TEST_LOCAL_MODEL" in os.environ else "set RLM_TEST_LOCAL_MODEL",
    }
    for item in items:
        for marker, why in off.items():
            if why and marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=f"{marker}: {why}"))


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Callable[[str, str, str, str], None]:
    """Fills in one cell of the embedding matrix, which is printed at the end: (place, saver, entry, outcome)."""
    cells = table(request.config, "embedding")

    def fill(place: str, saver: str, entry: str, outcome: str) -> None:
        cells[place, saver, entry] = outcome

    return fill


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the embedding matrix, where its tests ran."""
    cells = table(config, "embedding")
    if not cells:
        return
    entries = sorted({entry for _, _, entry in cells}, key=lambda entry: (entry.startswith("a"), entry))
    notes = sorted({outcome for outcome in cells.values() if outcome != "passed"})
    marks = {"passed": "ok", "": "-", **{note: f"({n})" for n, note in enumerate(notes, 1)}}
    terminalreporter.section("embedding matrix")
    terminalreporter.write_line(f"{'':22}{'':14}" + "".join(f"{entry:>18}" for entry in entries))
    for place, saver in sorted({(place, saver) for place, saver, _ in cells}):
        row = [marks[cells.get((place, saver, entry), "")] for entry in entries]
        terminalreporter.write_line(f"{place:22}{saver:14}" + "".join(f"{cell:>18}" for cell in row))
    for note in notes:
        terminalreporter.write_line(f"{marks[note]} {note}, before anything was paid")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """$RLM_HOME is a new directory in every test; what homes a test left open is closed after it."""
    home = tmp_path / "home"
    monkeypatch.setenv("RLM_HOME", str(home))
    for name in ("RLM_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.delenv(name, raising=False)
    yield home
    if "rlm_agent.store.home" in sys.modules:
        sys.modules["rlm_agent.store.home"]._close_all()
