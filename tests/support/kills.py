"""A run in processes of its own that is killed and gone on with: in another process, directory and hash seed."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from payments import asked, recorded

__all__ = ["Scene"]

PATIENCE = 900.0
"""Seconds that a process may take: a busy machine must not look like a run that hangs."""

_SUPPORT = str(Path(__file__).parent)


@dataclass
class Scene:
    """Where one run of a script takes place.

    Args:
        root: a directory of its own: the home, the logs, and the directories that the processes start in.
        script: `main(home, logs, *arguments)` prints what came of the run as its last line.
        arguments: of the script.
    """

    root: Path
    script: Path
    arguments: tuple[str, ...] = ()
    started: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for name in ("logs", "tmp"):
            (self.root / name).mkdir(parents=True)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def start(self, point: str = "") -> "subprocess.Popen[str]":
        """A new process of the run, in a new directory and with another hash seed; it dies at `point`."""
        self.started += 1
        cwd = self.root / f"cwd-{self.started}"
        cwd.mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([_SUPPORT, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONHASHSEED": str(self.started),
            "RLM_CRASH_POINT": point,
            "TMPDIR": str(self.root / "tmp"),
        }
        command = [sys.executable, str(self.script), str(self.home), str(self.logs), *self.arguments]
        with open(self.root / f"stderr-{self.started}", "w") as errors:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=cwd, env=environment)

    def die(self, point: str) -> None:
        """Starts the run and has it die at a crash point; anything else is an AssertionError."""
        process = self.start(point)
        out = _said(process)
        why = f"{point}: ended with {process.returncode} instead: {out[-300:]} {self.errors()[-2000:]}"
        assert process.returncode == -signal.SIGKILL, why

    def finish(self) -> dict[str, Any]:
        """Runs it, or goes on with it, to its end."""
        process = self.start()
        out = _said(process)
        assert process.returncode == 0, self.errors()[-4000:]
        return dict(json.loads(out.splitlines()[-1]))

    def errors(self) -> str:
        """What the latest process said on stderr."""
        return (self.root / f"stderr-{self.started}").read_text()

    def asked(self) -> Counter[str]:
        return asked(self.logs)

    def recorded(self) -> Counter[str]:
        return recorded(self.home)


def _said(process: "subprocess.Popen[str]") -> str:
    """What a process printed until its end."""
    try:
        return process.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
