"""The command line in this process, as tests call it: `rlm("show", "t")` gives exit code, stdout and stderr."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from rlm_agent.cli.main import main

COMMAND = [sys.executable, "-m", "rlm_agent.cli.main"]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Rlm = Callable[..., Ended]


@pytest.fixture
def rlm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rlm:
    """Runs one command to its end."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rlm", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run
