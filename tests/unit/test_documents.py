"""README and docs hold: their Python runs, their links lead somewhere, their two commands are the promised ones."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {
    "demo": "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt . && .venv/bin/rlm demo",
    "tests": ".venv/bin/pip install -c constraints.txt -e '.[test]' && .venv/bin/python -m pytest -q",
}


def blocks(file: Path, tag: str) -> list[str]:
    return re.findall(rf"^```{tag}\n(.*?)^```$", file.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds the docs, as a clone does."""
    shutil.copytree(ROOT / "docs", tmp_path / "place" / "docs")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def run(file: Path) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "document"}
    for number, code in enumerate(blocks(file, "python"), 1):
        exec(compile(code, f"<{file.name}, Python block {number}>", "exec"), names)
    return names


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("file", [f for f in DOCUMENTS[1:] if blocks(f, "python")], ids=lambda f: f.name)
def test_the_python_of_a_document_runs(file: Path) -> None:
    assert run(file)


@pytest.mark.usefixtures("place")
def test_the_tour_of_the_readme_answers(capsys: pytest.CaptureFixture[str]) -> None:
    names = run(ROOT / "README.md")
    shown = capsys.readouterr().out
    assert "architecture.md" in shown.split("\n")[0]
    assert "architecture.md" in names["again"]["messages"][-1].content
    assert "run.finished 3" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_two_commands_are_as_promised(name: str) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert f"<!-- command: {name} -->\n```bash\n{COMMANDS[name]}\n```\n" in text


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: f.name)
def test_links_lead_to_files(file: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text("utf-8"))
    assert [target for target in targets if not (file.parent / target).exists()] == []


def test_files_that_the_figure_names_exist() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    names = {Path(name).name for name in re.findall(r"[\w/]+\.py\b", text)}
    real = {path.name for path in (ROOT / "rlm_agent").rglob("*.py")} | {"01_hello.py"}
    assert names - real == set()


def test_constraints_are_names_and_versions_and_cover_what_is_required() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").split("\n") if line and line[0] != "#"]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.+!]+", line)] == []
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[\[>=<]", need)[0].lower() for need in project["dependencies"] + extras["test"] + extras["dev"]
    }
    assert wanted - pinned == {"langgraph-rlm"}
