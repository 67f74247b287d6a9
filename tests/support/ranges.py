"""Ranges: runs attacks in ranges of their own and keeps the verdicts, so that one range can serve many tests.

A batch is one range for all its attacks, each in a session of its own: quick, and enough where nothing breaks out. An
attack alone has a range, and so a process tree and a PID namespace, of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attack import Attack

__all__ = ["LAYERS", "Ranges"]

HERE = Path(__file__).parent
SECONDS = 600
USERS = ("bare", "root")

LAYERS = {
    "namespaces": (),
    "mounts": ("namespaces",),
    "privileges": (),
    "landlock": ("privileges",),
    "seccomp": ("privileges",),
}
"""Each layer that isolates, and those that it needs."""


def run(attacks: Iterable[Attack], user: str, mode: str, layers: Sequence[str] | None = None) -> dict[str, Any]:
    """The range's report; see `attack_range.py`.

    Args:
        layers: those that the sandbox may use; None: all.
    """
    fields = ("name", "code", "host_dies", "holds")
    cells = [{field: getattr(attack, field) for field in fields} for attack in attacks]
    prelude = (HERE / "attacks" / "prelude.py").read_text()
    spec = {"mode": mode, "layers": layers, "user": user, "prelude": prelude, "attacks": cells}
    arguments = [sys.executable, str(HERE / "attack_range.py")]
    done = subprocess.run(
        arguments, input=json.dumps(spec), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode or not done.stdout:
        return {"failed": done.stderr[-2000:] or f"exit code {done.returncode}"}
    report: dict[str, Any] = json.loads(done.stdout)
    return report


class Ranges:
    """Verdicts by attack, user and mode; each is run when it is first asked for, or ahead by `prefetch`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._alone: dict[tuple[Any, ...], Future[dict[str, Any]]] = {}
        self._batches: dict[tuple[str, str], dict[str, Any]] = {}

    def close(self) -> None:
        """Waits for what runs."""
        self._pool.shutdown(cancel_futures=True)

    def prefetch(
        self, attack: Attack, user: str, mode: str, layers: tuple[str, ...] | None = None
    ) -> Future[dict[str, Any]]:
        """Runs an attack alone, some at a time."""
        key = (attack.name, user, mode, layers)
        if key not in self._alone:
            self._alone[key] = self._pool.submit(run, [attack], user, mode, layers)
        return self._alone[key]

    def alone(self, attack: Attack, user: str, mode: str, layers: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The verdict of an attack with a range of its own, where the sandbox has all layers, or only these."""
        _possible(user)
        return _verdict(self.prefetch(attack, user, mode, layers).result(), attack)

    def batched(self, attack: Attack, attacks: list[Attack], user: str, mode: str) -> dict[str, Any]:
        """The verdict of an attack in one range with others."""
        _possible(user)
        if attack.host_dies:
            return self.alone(attack, user, mode)
        if (user, mode) not in self._batches:
            self._batches[user, mode] = run([one for one in attacks if not one.host_dies], user, mode)
        return _verdict(self._batches[user, mode], attack)


def _possible(user: str) -> None:
    if user == "root" and os.geteuid() != 0:
        pytest.skip("the tests are not run by root")


def _verdict(report: dict[str, Any], attack: Attack) -> dict[str, Any]:
    if why := report.get("impossible"):
        pytest.skip(why)
    assert "failed" not in report, report["failed"]
    verdict: dict[str, Any] = report["verdicts"][attack.name]
    return {**verdict, "isolation": report["isolation"]}
