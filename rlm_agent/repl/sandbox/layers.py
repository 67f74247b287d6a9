"""Layers: what there is to confine a process, in the order that works, and how a process puts itself under them.

Order: limits; namespaces, which need a single thread; mounts, which need the rights that those give; then all rights
are dropped; Landlock; seccomp last, since it forbids what the others are made with. Invariant: `confine` either puts
the process under every layer that the plan asks for, or raises; `probe` goes on where one fails, and says why it did.
"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass

from rlm_agent.repl.sandbox import landlock, mounts, namespaces, privileges, rlimits, seccomp
from rlm_agent.repl.sandbox.paths import readable

__all__ = ["LAYERS", "ConfinementError", "Layer", "Plan", "confine", "probe"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Attributes:
        name: of the layer.
        blocks: what it takes away, for people.
    """

    name: str
    blocks: str


LAYERS = (
    Layer("limits", "memory, files, descriptors and processes without end"),
    Layer("namespaces", "the network, abstract sockets, shared memory of others"),
    Layer("mounts", "changes of files outside scratch, of their mode, owner, times and attributes"),
    Layer("privileges", "capabilities, and what setuid programs would give"),
    Layer("landlock", "files outside scratch, but to read Python and the system's libraries"),
    Layer("seccomp", "sockets, ptrace, signals to others, mounts, keyrings, io_uring, rights over the machine"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker has to put itself under.

    Attributes:
        layers: names out of LAYERS.
        memory: bytes that a process may map beyond what it starts with.
        disk: bytes of the largest file.
    """

    layers: tuple[str, ...]
    memory: int
    disk: int


class ConfinementError(Exception):
    """A layer that was asked for could not be put up; the process is good for nothing but to end."""


class _Confinement:
    """The steps for one process; `done` are the layers that are up."""

    def __init__(self, plan: Plan, scratch: str) -> None:
        self._plan = plan
        self._scratch = scratch
        self.done: set[str] = set()

    def steps(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        return (
            ("limits", lambda: rlimits.limit(self._plan.memory, self._plan.disk)),
            ("namespaces", self._namespaces),
            ("mounts", self._mounts),
            ("privileges", privileges.drop),
            ("landlock", self._landlock),
            ("seccomp", self._seccomp),
        )

    def take(self, name: str, step: Callable[[], None]) -> None:
        if name != "limits" and platform.system() != "Linux":
            raise OSError("needs Linux")
        step()
        self.done.add(name)

    def _namespaces(self) -> None:
        namespaces.enter()
        if "limits" in self.done:
            rlimits.limit_tasks()

    def _mounts(self) -> None:
        if "namespaces" not in self.done:
            raise OSError("needs namespaces")
        mounts.make_read_only(self._scratch)

    def _landlock(self) -> None:
        paths = readable()
        landlock.restrict(paths.files, paths.programs, paths.devices, self._scratch)

    def _seccomp(self) -> None:
        confined = "landlock" in self.done
        if not confined:
            # Landlock keeps others away from this process's memory, and lets the host measure it.
            privileges.hide_memory()
        seccomp.install(
            signals=not confined or landlock.version() < landlock.SIGNALS_SINCE,
            metadata="mounts" not in self.done,
        )


def confine(plan: Plan, scratch: str) -> None:
    """Puts this process, which has one thread, and all that it starts under the layers of the plan.

    Raises:
        ConfinementError: naming the layer that could not be put up.
    """
    confinement = _Confinement(plan, scratch)
    for name, step in confinement.steps():
        if name in plan.layers:
            try:
                confinement.take(name, step)
            except (OSError, ValueError) as error:
                raise ConfinementError(f"the layer {name!r} cannot be put up: {error}") from error
    os.chdir(scratch)


def probe(plan: Plan, scratch: str) -> dict[str, str]:
    """Puts this process under every layer of the plan that can be had.

    Returns:
        For each layer "" where it is up, else why not.
    """
    confinement = _Confinement(plan, scratch)
    why: dict[str, str] = {}
    for name, step in confinement.steps():
        if name not in plan.layers:
            why[name] = "left out"
            continue
        try:
            confinement.take(name, step)
            why[name] = ""
        except (OSError, ValueError) as error:
            why[name] = str(error)
    return why
