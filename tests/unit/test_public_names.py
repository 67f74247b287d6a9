"""The public face, held by snapshots: names, signatures and defaults, and the help text of every command.

`RLM_UPDATE_SNAPSHOTS=1 pytest tests/unit/test_public_names.py` writes the snapshots anew; read the difference then: a
line that changed or went is a change for somebody's program.
"""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

import rlm_agent
from rlm_agent import inspection, testing
from rlm_agent.cli.main import _app
from rlm_agent.events import EventType

SNAPSHOTS = Path(__file__).parent / "snapshots"
SOURCE = Path(__file__).parents[2] / "docs" / "build_reference.py"


def held(name: str, text: str) -> bool:
    """Whether a text is the one in its snapshot."""
    file = SNAPSHOTS / name
    if os.environ.get("RLM_UPDATE_SNAPSHOTS"):
        file.write_text(text, "utf-8")
    return text == file.read_text("utf-8")


@pytest.fixture(scope="module")
def reader() -> Any:
    """The reader of signatures, which the reference is built with, too."""
    spec = importlib.util.spec_from_file_location("build_reference", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def face(reader: Any, place: str, name: str, value: Any) -> Iterator[str]:
    """What a program may rely on of one name, a line each."""
    if isinstance(value, type) and issubclass(value, BaseException):
        yield f"{place}.{name}({value.__base__.__name__})"
        return
    if not callable(value):
        yield f"{place}.{name}"
        return
    yield f"{place}.{name if name in reader.NOT_MADE_BY_HAND else reader.signature(value)}"
    if isinstance(value, type):
        for signed, _ in reader.members(value):
            plain = signed.removeprefix("async ")
            yield f"{signed[: -len(plain)]}{place}.{name}.{plain}"


def test_public_names_and_signatures(reader: Any) -> None:
    lines: list[str] = []
    for module in (rlm_agent, testing):
        assert list(module.__all__) == sorted(module.__all__)
        for name in module.__all__:
            lines += face(reader, module.__name__, name, getattr(module, name))
    for name in inspection.__all__:
        if name not in rlm_agent.__all__:
            lines += face(reader, "rlm_agent.inspection", name, getattr(inspection, name))
    sent = reader.sent()
    lines += [f"event {kind}({', '.join(sent.get(kind, ['not sent']))})" for kind in get_args(EventType)]
    assert held("public_names.txt", "\n".join(lines) + "\n")


def test_the_directory_of_the_package_is_its_public_names() -> None:
    assert dir(rlm_agent) == sorted(rlm_agent.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = rlm_agent.nonesuch  # type: ignore[attr-defined]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of a command and of all below it."""
    yield path
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from commands(below, (*path, name))


def test_help_of_every_command() -> None:
    app, runner, parts = _app(), CliRunner(), []
    plain = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    for path in commands(typer.main.get_command(app)):
        result = runner.invoke(app, [*path, "--help"], env=plain, prog_name="rlm")
        assert result.exit_code == 0, result.output
        parts.append(f"$ {' '.join(('rlm', *path))} --help\n{result.output.strip()}\n")
    assert held("help.txt", "\n".join(parts))
