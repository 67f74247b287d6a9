"""README and docs hold: their Python runs and prints what they say, their links lead somewhere, their commands exist.

A Python block runs after those before it on its page. `<!-- output -->` before a block of text: that is what the Python
block before it prints. `<!-- needs: NAME -->` before a Python block: it runs where that package is installed.
`RLM_UPDATE_SNAPSHOTS=1 pytest tests/unit/test_documents.py` writes the pages that are built; read the difference then.
"""

import importlib.util
import io
import os
import re
import shlex
import shutil
import tomllib
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BUILT = ("reference", "prompts")
COMMANDS = {
    "demo": "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt . && .venv/bin/rlm demo",
    "tests": ".venv/bin/pip install -c constraints.txt -e '.[test]' && .venv/bin/python -m pytest -q",
}
FENCED = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^(?P<fence>`{3,})(?P<tag>\w*)\n(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the comment on the line before it."""

    tag: str
    text: str
    mark: str

    @property
    def needs(self) -> str:
        """The package without which the block does not run."""
        return self.mark.removeprefix("needs: ") if self.mark.startswith("needs: ") else ""


def blocks(file: Path) -> list[Block]:
    found = FENCED.finditer(file.read_text("utf-8"))
    return [Block(match["tag"], match["text"], match["mark"] or "") for match in found]


def prose(file: Path) -> str:
    return FENCED.sub("", file.read_text("utf-8"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds the docs, as a clone does."""
    shutil.copytree(ROOT / "docs", tmp_path / "place" / "docs")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def run(file: Path, *, extras: bool = False) -> tuple[dict[str, Any], str]:
    """Runs a page's Python, with `extras` up to the last block that needs more. Returns names and printed text."""
    names: dict[str, Any] = {"__name__": "document"}
    printed, last = "", ""
    found = blocks(file)
    end = max(n for n, block in enumerate(found, 1) if block.needs) if extras else len(found)
    for number, block in enumerate(found[:end], 1):
        if block.tag == "python" and (extras or not block.needs):
            with redirect_stdout(io.StringIO()) as out:
                exec(compile(block.text, f"<{file.name}, block {number}>", "exec"), names)
            last = out.getvalue()
            printed += last
        elif block.mark == "output":
            assert last == block.text, f"{file.name}, block {number}"
    return names, printed


WITH_PYTHON = [file for file in DOCUMENTS[1:] if any(block.tag == "python" for block in blocks(file))]
WITH_EXTRAS = [file for file in DOCUMENTS if any(block.needs for block in blocks(file))]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("file", WITH_PYTHON, ids=lambda f: f.name)
def test_the_python_of_a_document_runs(file: Path) -> None:
    assert run(file)[0]


@pytest.mark.extras
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("file", WITH_EXTRAS, ids=lambda f: f.name)
def test_the_python_that_needs_more_packages_runs(file: Path) -> None:
    assert run(file, extras=True)[0]


@pytest.mark.usefixtures("place")
def test_the_tour_of_the_readme_answers() -> None:
    names, shown = run(ROOT / "README.md")
    assert "architecture.md" in shown.split("\n")[0]
    assert "architecture.md" in names["again"]["messages"][-1].content
    assert "run.finished 3" in shown


@pytest.mark.parametrize("name", BUILT)
def test_a_built_page_is_current(name: str) -> None:
    spec = importlib.util.spec_from_file_location(f"build_{name}", ROOT / "docs" / f"build_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    builder: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    page, text = ROOT / "docs" / f"{name}.md", builder.build()
    if os.environ.get("RLM_UPDATE_SNAPSHOTS"):
        page.write_text(text, "utf-8")
    assert text == page.read_text("utf-8"), f"python docs/build_{name}.py writes it anew"


def test_every_public_name_is_in_the_reference() -> None:
    import rlm_agent
    from rlm_agent import testing

    text = (ROOT / "docs/reference.md").read_text("utf-8")
    headings = (
        set(re.findall(r"^### `(\w+)`$", text, re.MULTILINE)) | set(re.findall(r"── (\w+) ", text)) | {"RLMError"}
    )
    assert {*rlm_agent.__all__, *testing.__all__} - headings == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_two_commands_are_as_promised(name: str) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert f"<!-- command: {name} -->\n```bash\n{COMMANDS[name]}\n```\n" in text


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: f.name)
def test_commands_that_a_document_shows_exist(file: Path) -> None:
    text = "\n".join(block.text for block in blocks(file) if block.tag == "bash") + "\n".join(
        f"\n{code}" for code in re.findall(r"`(rlm [^`]+)`", prose(file))
    )
    for line in text.split("\n"):
        if line.startswith("rlm "):
            check_command(shlex.split(line, comments=True)[1:])


def check_command(words: list[str]) -> None:
    """Fails where the command line has no such command, or the command no such option."""
    from rlm_agent.cli.main import _app

    command: Any = typer.main.get_command(_app())
    while isinstance(getattr(command, "commands", None), dict) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options]
    assert not unknown, f"rlm {command.name} has no option {unknown[0]}"
    assert words == [] or not hasattr(command, "commands") or words[0].startswith("-"), f"no command rlm {words[0]}"


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: f.name)
def test_links_lead_to_files_and_headings(file: Path) -> None:
    for target, _, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(#([^)\s]*))?\)", prose(file)):
        page = file.parent / target if target else file
        assert page.exists(), target
        titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE) if heading else []
        anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, f"{target}#{heading}"


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
