"""Which `rlm` a shell would start."""

import os
import sysconfig
from pathlib import Path

import pytest

from rlm_agent.cli.path_commands import clash, commands_on_path

OURS = "#!/usr/bin/python3\nimport sys\nfrom rlm_agent.cli.main import main\nsys.exit(main())\n"
OTHER = "#!/bin/sh\necho 'RHEL lightspeed manager'\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three directories: the one of this environment's scripts, another environment's, another program's."""
    for name, text in {"here": OURS, "there": OURS, "other": OTHER}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "rlm").write_text(text)
        (tmp_path / name / "rlm").chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "here"))
    return str(tmp_path)


def told(root: str, *names: str) -> str | None:
    return clash(commands_on_path(os.pathsep.join(f"{root}/{name}" for name in names)))


def test_ours_alone_is_no_clash(path: str) -> None:
    assert told(path) is None
    assert told(path, "here", "nowhere", "here") is None
    assert told(path, "here", "there") is None


def test_another_program_first_is_told_with_the_way_out(path: str) -> None:
    assert told(path, "other", "here") == (
        f"`rlm` starts {path}/other/rlm, which is another program: call {path}/here/rlm, or put its directory first in "
        "PATH"
    )
    assert str(told(path, "other")).endswith("call `python -m rlm_agent.cli.main`")


def test_another_program_behind_ours_is_told(path: str) -> None:
    assert told(path, "here", "other") == f"another program is named rlm, too, behind ours in PATH: {path}/other/rlm"


def test_another_environment_first_is_told(path: str) -> None:
    assert "another environment" in str(told(path, "there", "here"))


def test_what_cannot_be_started_does_not_count(path: str) -> None:
    (Path(path) / "other" / "rlm").chmod(0o644)
    if os.access(Path(path) / "other" / "rlm", os.X_OK):
        pytest.skip("everything may be started here")
    assert told(path, "other", "here") is None


def test_links_to_one_file_are_one_command(path: str) -> None:
    (Path(path) / "links").mkdir()
    (Path(path) / "links" / "rlm").symlink_to(f"{path}/here/rlm")
    found = commands_on_path(f"{path}/links{os.pathsep}{path}/here")
    assert [(command.path, command.here) for command in found] == [(f"{path}/links/rlm", True)]
