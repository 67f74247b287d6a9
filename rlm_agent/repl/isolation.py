"""Isolation: which layers a session gets, by what `Limits.sandbox` asks for and what a probe found. Runs on the host.

The probe is a process forked as a worker is: it goes under every layer and tries what must not work. Deciding
(`decide`) is pure. Invariant: what a person is told is what was tried, and a worker is under no less, or does not run.
"""

import os
import socket
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from rlm_agent.errors import KernelError, SandboxUnavailable
from rlm_agent.repl.channel import Channel
from rlm_agent.repl.sandbox.layers import LAYERS
from rlm_agent.repl.spawner import Spawner
from rlm_agent.settings import Limits, SandboxMode

__all__ = ["NAMES", "OFF", "Findings", "Isolation", "decide", "find", "findings"]

NAMES = tuple(layer.name for layer in LAYERS)
# What a system must close to count as sandboxed, and the attempts that show it.
CLOSED = {
    "files": ("read files", "write files", "change metadata"),
    "network": ("open sockets",),
    "signals": ("signal others", "read other processes"),
}
# Bounds and the loss of privileges take nothing away that a plain user has.
ISOLATING = frozenset({"namespaces", "mounts", "landlock", "seccomp"})
PROBE_SECONDS = 30.0
LARGEST_REPORT = 1 << 16


@dataclass(frozen=True, slots=True)
class Findings:
    """What a probe found.

    Attributes:
        layers: for each layer "" where it is active, else why not.
        attempts: for each attempt "" where it worked in spite of them, else what the system said.
    """

    layers: Mapping[str, str]
    attempts: Mapping[str, str]

    def closed(self, what: str) -> bool:
        """Whether every attempt on `files`, `network` or `signals` failed."""
        return all(self.attempts.get(attempt) for attempt in CLOSED[what])


@dataclass(frozen=True, slots=True)
class Isolation:
    """What is done with a session's worker.

    Attributes:
        layers: that it goes under.
        text: one line for people.
    """

    layers: tuple[str, ...]
    text: str

    def plan(self, limits: Limits) -> dict[str, Any]:
        """What the zygote is told."""
        return {"layers": list(self.layers), "memory": limits.memory_mb << 20, "disk": limits.disk_mb << 20}


OFF = Isolation((), 'none (sandbox="off")')

_found: WeakKeyDictionary[Spawner, dict[frozenset[str], Findings]] = WeakKeyDictionary()


def findings(spawner: Spawner, allowed: Collection[str] = NAMES) -> Findings:
    """As `find`, once for a spawner: what a system has does not change."""
    known = _found.setdefault(spawner, {})
    key = frozenset(allowed)
    if key not in known:
        known[key] = find(spawner, allowed)
    return known[key]


def find(spawner: Spawner, allowed: Collection[str] = NAMES) -> Findings:
    """Forks a probe. Blocks.

    Args:
        spawner: whose zygote forks it.
        allowed: layers that it may use.

    Raises:
        KernelError: it could not be forked or ended without a word.
    """
    spawner.start()
    mine, theirs = socket.socketpair()
    with mine, tempfile.TemporaryDirectory(prefix="rlm-probe-", dir=spawner.scratches) as directory:
        scratch, canary = Path(directory, "scratch"), Path(directory, "canary")
        scratch.mkdir()
        canary.write_bytes(b"")
        with theirs:
            bounds = {"memory": 1 << 30, "disk": 1 << 20}
            plan = {"layers": list(allowed), **bounds, "canary": os.fspath(canary), "remove": directory}
            pid = spawner.fork(theirs, os.fspath(scratch), plan)
        mine.settimeout(PROBE_SECONDS)
        try:
            report = Channel(mine).receive(LARGEST_REPORT)
        except (EOFError, OSError, ValueError) as error:
            raise KernelError(f"The sandbox could not be tried: {error or type(error).__name__}") from error
        finally:
            spawner.reap(pid, kill=True)
    return Findings(report["layers"], report["attempts"])


def decide(mode: SandboxMode, findings: Findings, *, unsandboxed: bool) -> Isolation:
    """The layers of a session.

    Args:
        mode: "auto" or "required".
        findings: of a probe on this system.
        unsandboxed: whether `auto` may do without any isolation.

    Raises:
        SandboxUnavailable: the mode asks for more than the system has.
    """
    active = tuple(name for name in NAMES if not findings.layers.get(name, "unknown"))
    closed = [what for what in CLOSED if findings.closed(what)]
    opened = [what for what in CLOSED if what not in closed]
    if mode == "required" and opened:
        raise SandboxUnavailable(
            f"Limits(sandbox='required'): {', '.join(opened)} cannot be closed to cells here ({_why_not(findings)}); "
            "`rlm doctor` shows each layer."
        )
    if ISOLATING.isdisjoint(active):
        return _bare(active, findings, unsandboxed)
    what = ", ".join(closed) + " closed" if closed else "little closed"
    but = f", {' and '.join(opened)} OPEN" if opened else ""
    return Isolation(active, f"{what}{but} ({', '.join(active)})")


def _bare(active: tuple[str, ...], findings: Findings, unsandboxed: bool) -> Isolation:
    if not unsandboxed:
        raise SandboxUnavailable(
            f"No isolation is to be had here ({_why_not(findings)}): to run cells with your own rights, "
            'set RLM_ALLOW_UNSANDBOXED=1 or give Limits(sandbox="off").'
        )
    return Isolation(active, "none (RLM_ALLOW_UNSANDBOXED=1)")


def _why_not(findings: Findings) -> str:
    return "; ".join(f"{name}: {findings.layers[name]}" for name in NAMES if findings.layers.get(name))
