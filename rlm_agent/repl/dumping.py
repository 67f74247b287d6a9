"""Dumping: the variables of a namespace as an image that differs from the one before only where they do.

Invariant: one variable that cannot be saved costs that variable, never the others. A variable keeps its range of memo
numbers from image to image; one that has outgrown its range gets a new one at the end, and the pass is made again.
"""

import gc
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rlm_agent.repl.deep import CAN_GO_DEEPER
from rlm_agent.repl.image import Image, Row
from rlm_agent.repl.leaves import Leaves
from rlm_agent.repl.lost import Lost, reason
from rlm_agent.repl.pickling import BLOCKS, NamespacePickler, describe
from rlm_agent.repl.reserve import DEEP_STACK, deep_stack_taken
from rlm_agent.repl.slots import Slots, large_strings

__all__ = ["Loss", "dump", "tombstones"]

# Nested deeper than this, a value is lost, or left to `deep.py`; a stack of this size bears it.
DEEPEST = 50_000
# Passes in which ranges that are too small are moved, before all ranges are dealt out anew.
MOST_PASSES = 4
# Beyond this many unused numbers, and more of them than used ones, all ranges are dealt out anew.
MOST_UNUSED = 4096

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loss:
    """A variable that could not be held whole."""

    name: str
    type: str
    why: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be saved.

    Attributes:
        variables: name -> value.
        namespace: the live globals dict.
        references: place -> object that is named instead of saved.
        deep: name -> address of a variable that was nested too deep for the fast pickler; grows.
    """

    variables: Mapping[str, Any]
    namespace: dict[str, Any]
    references: Mapping[str, Any]
    deep: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """Where a variable goes: to its range, or at the end, where `capacity` is 0."""

    name: str
    base: int = 0
    capacity: int = 0


@dataclass(slots=True)
class Pass:
    """What came of one pass."""

    rows: list[Row] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    outgrown: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    too_deep: set[str] = field(default_factory=set)
    trusted: bool = False


def dump(
    subject: Subject, unloadable: Mapping[str, str], leaves: Leaves, before: Image | None
) -> tuple[Image, list[Loss]]:
    """Pickles the variables.

    Args:
        unloadable: name -> reason of variables known not to load again.
        leaves: take what is large.
        before: the image of the last snapshot, or the one that this session was restored from.
    """
    with _without_collector():
        strings = large_strings(subject.variables)
        references = {**subject.references, "blocks": BLOCKS}
        slots = (before.slots if before else Slots.empty()).renewed(references, strings, leaves)
        keep = before is not None and slots.capacity == before.slots.capacity
        plan = _plan(subject.variables, before.rows if before and keep else [], slots)
        return _with_deep_stack(lambda: _dump(subject, plan, slots, dict(unloadable), leaves))


def tombstones(variables: Mapping[str, Any]) -> list[Loss]:
    """The variables whose value was lost, now or earlier."""
    return [Loss(name, *reason(value)) for name, value in variables.items() if type(value) is Lost]


def _plan(variables: Mapping[str, Any], rows: list[Row], slots: Slots) -> list[Planned]:
    """The variables that have a range, in its order, then the others."""
    kept = [Planned(row.name, row.base, row.capacity) for row in rows if row.name in variables]
    used = sum(row.count for row in rows if row.name in variables)
    span = kept[-1].base + kept[-1].capacity - slots.capacity if kept else 0
    if span - used > max(MOST_UNUSED, used):
        kept = []
    known = {planned.name for planned in kept}
    return [*kept, *(Planned(name) for name in variables if name not in known)]


def _dump(
    subject: Subject, plan: list[Planned], slots: Slots, given_up: dict[str, str], leaves: Leaves
) -> tuple[Image, list[Loss]]:
    passes = 0
    while True:
        done = _Dumper(subject, slots, given_up, leaves).run(plan)
        if done.failed or done.too_deep:
            # The memo holds objects of a half that failed, so only a new start is clean.
            given_up |= done.failed
            subject.deep.update((name, id(subject.variables[name])) for name in done.too_deep)
        elif done.outgrown:
            passes += 1
            stay = [planned for planned in plan if planned.name not in done.outgrown and passes < MOST_PASSES]
            names = {planned.name for planned in stay}
            plan = [*stay, *(Planned(name) for name in subject.variables if name not in names)]
        else:
            return Image(slots, done.rows, done.trusted), done.losses


class _Dumper:
    """One pass over the variables."""

    def __init__(self, subject: Subject, slots: Slots, given_up: Mapping[str, str], leaves: Leaves) -> None:
        self._variables, self._deep = subject.variables, subject.deep
        self._given_up = given_up
        self._pickler = NamespacePickler(subject.namespace, slots.memo(), leaves, self._lose)
        self._pass = Pass()
        self._losses: dict[str, Loss] = {}
        self._name, self._value = "", None
        # How many numbers are taken, and where the next range may begin.
        self._reached = self._free = slots.capacity

    def run(self, plan: list[Planned]) -> Pass:
        """Pickles all, or up to the first that fails."""
        last = plan[-1] if plan else None
        for planned in plan:
            failure = self._add(planned, planned is last)
            if failure is not None:
                self._pass.failed[planned.name] = failure
            if failure is not None or self._pass.too_deep:
                break
        self._pass.losses = list(self._losses.values())
        self._pass.trusted = self._pickler.trusted
        # It holds a method of this object.
        del self._pickler
        return self._pass

    def _add(self, planned: Planned, last: bool) -> str | None:
        value = self._begin(planned.name)
        kind = describe(type(self._value))
        base = planned.base if planned.capacity else self._free
        # Once one has outgrown its range the others are only measured.
        if not self._pass.outgrown:
            self._pickler.skip(base - self._reached)
            self._reached = base
        start = self._reached
        try:
            deep = self._deep.get(planned.name) == id(self._value)
            text, blocks = self._pickler.section(value, deep=deep)
            count = self._pickler.reached() - start
        except RecursionError as error:
            if CAN_GO_DEEPER and not deep:
                self._pass.too_deep.add(planned.name)
                return None
            return f"it is nested too deep to be saved ({error!s:.200})"
        except BaseException as error:  # noqa: BLE001  # reducers are anybody's code, and may even call sys.exit
            return f"it cannot be pickled ({type(error).__name__}: {error!s:.200})"
        self._reached = start + count + 2
        capacity = planned.capacity
        if not capacity or (last and count + 2 > capacity):
            capacity = count + count // 4 + 16
        elif count + 2 > capacity:
            self._pass.outgrown.add(planned.name)
        self._free = base + capacity
        self._pass.rows.append(Row(planned.name, kind, base, count, capacity, text, blocks))
        return None

    def _begin(self, name: str) -> Any:
        self._name, self._value = name, self._variables[name]
        if name not in self._given_up:
            return self._value
        self._lose(self._value, self._given_up[name])
        return Lost(describe(type(self._value)), self._given_up[name])

    def _lose(self, value: Any, why: str) -> None:
        """Called with the value itself, which may stand deep inside the variable."""
        if self._name in self._losses:
            return
        if value is not self._value:
            why = f"it holds a {describe(type(value))}, which is lost: {why}"
        self._losses[self._name] = Loss(self._name, describe(type(self._value)), why)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pickling makes many objects that live on for a moment: looking for cycles in all of them is in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _with_deep_stack(work: Callable[[], T]) -> T:
    """Runs this in a thread whose stack bears DEEPEST levels of nesting, or fewer where memory is short."""
    limit, size = sys.getrecursionlimit(), threading.stack_size()
    try:
        for part in (1, 4, 16):
            threading.stack_size(DEEP_STACK // part)
            sys.setrecursionlimit(max(limit, DEEPEST // part))
            with ThreadPoolExecutor(1, "rlm-snapshot") as pool, suppress(RuntimeError):
                running = pool.submit(work)
                deep_stack_taken(DEEP_STACK // part)
                break
        else:
            raise MemoryError("no memory is left for a thread that saves the variables")
        return running.result()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
