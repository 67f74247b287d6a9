"""The demo's child processes: started in a directory of their own, ended by themselves or by SIGKILL, never left over.

Invariant: a child sees no network tracing and writes nowhere but below the demo's directory.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rlm_agent
from rlm_agent.cli.terminal import one_line
from rlm_agent.errors import RLMError

__all__ = ["Child", "child"]

_SECONDS = 300.0


class Child:
    """One part of the demo in a process of its own."""

    def __init__(self, part: str, directory: Path) -> None:
        self.part = part
        self._out, self._errors = directory / f"{part}.out", directory / f"{part}.err"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rlm_agent.cli.demo_child", part, str(directory)],
                cwd=directory,
                env=_environment(directory),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def outcome(self) -> Any:
        """Waits for its end and reads what it printed.

        Raises:
            RLMError: it failed.
        """
        try:
            code = self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            raise RLMError(f"The demo's part {self.part!r} did not end within {_SECONDS:g} s.") from None
        if code != 0:
            raise self._failure(code)
        return json.loads(self._out.read_text("utf-8"))

    def kill_when(self, ready: Callable[[], bool]) -> None:
        """Kills it with SIGKILL as soon as `ready` says so.

        Raises:
            RLMError: it ended before that.
        """
        deadline = time.monotonic() + _SECONDS
        while not ready():
            if (code := self._process.poll()) is not None:
                raise self._failure(code)
            if time.monotonic() > deadline:
                raise RLMError(f"The demo's part {self.part!r} did not get to its batch within {_SECONDS:g} s.")
            time.sleep(0.02)
        self._process.send_signal(signal.SIGKILL)
        if (code := self._process.wait()) != -signal.SIGKILL:
            raise self._failure(code)

    def end(self) -> None:
        """Makes sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _failure(self, code: int) -> RLMError:
        lines = self._errors.read_text("utf-8", "replace").strip().splitlines() or ["it ended too early"]
        return RLMError(f"The demo's part {self.part!r} ended with code {code}: {one_line(lines[-1])}")


@contextmanager
def child(part: str, directory: Path) -> Iterator[Child]:
    """A child that is gone when the block is left."""
    process = Child(part, directory)
    try:
        yield process
    finally:
        process.end()


def _environment(directory: Path) -> dict[str, str]:
    scratch = directory / "tmp"
    scratch.mkdir(exist_ok=True)
    package = str(Path(rlm_agent.__path__[0]).resolve().parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "RLM_HOME": str(directory / "home"),
        "TMPDIR": str(scratch),
        "LANGSMITH_TRACING": "false",
        "LANGCHAIN_TRACING_V2": "false",
    }
