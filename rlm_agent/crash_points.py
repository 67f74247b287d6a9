"""Crash points: named places at which a test lets the process kill itself, by SIGKILL, as a power cut would.

Owns the list of them. Invariant: a point that is not armed does nothing and costs a look at one variable. One point is
armed by `$RLM_CRASH_POINT`: "turn.written" at its first passing, "slot.written:7" at its seventh in this process.
"""

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count

from rlm_agent import environment
from rlm_agent.errors import ConfigError

__all__ = ["POINTS", "reach", "watch"]

_STEPS = {
    "root": "a reply of the root",
    "model": "a model reply inside a sub-agent",
    "tool": "a tool's result",
    "slot": "a sub-call's outcome",
    "function": "a host function's result",
    "refusal": "the refusal of a batch",
    "check": "what the checks said of an answer",
    "notes": "which notes a turn reads",
    "pending": "what the root reads of a turn whose snapshot is slow",
    "clock": "what a cell read of the clock",
    "human": "that a person is asked, or what the person said",
    "started": "that a call that acts once begins",
}

POINTS = {
    "lease.taken": "The run is owned; nothing of it is read yet.",
    "lease.leaving": "All is recorded; the lease is not given back yet.",
    "corpus.drafted": "A large input is copied whole, under a name of the moment.",
    "corpus.installed": "A large input stands under its digest; nothing names it yet.",
    "question.before": "A question is about to be recorded, with its run where that is new.",
    "question.written": "A question is recorded; nothing is paid for it yet.",
    "note.before": "A person's note is about to be recorded.",
    "note.written": "A person's note is recorded.",
    **{f"{kind}.before": f"The ledger is about to record {what}: it is lost." for kind, what in _STEPS.items()},
    **{f"{kind}.written": f"The ledger has recorded {what}; nobody has seen it." for kind, what in _STEPS.items()},
    "batch.stored": "The calls of a batch are stored as chunks; none is sent yet.",
    "batch.answered": "All answers of a batch are recorded; the cell does not have them yet.",
    "commit.before": "The operations of a group commit are done, the transaction is not committed.",
    "commit.after": "The transaction is committed; nobody who waits for it knows.",
    "file.drafted": "A large blob is on disk under a name of the moment.",
    "file.renamed": "A large blob stands under its key; its directory is not synced.",
    "snapshot.before": "A turn's cells have ended; the worker is not asked for the namespace yet.",
    "snapshot.taken": "The host has the namespace in memory; nothing of it is stored.",
    "snapshot.leaf": "A leaf of the snapshot is stored, others may not be.",
    "snapshot.leaves": "All leaves are stored, the manifest is not.",
    "snapshot.written": "The snapshot is whole; no turn names it.",
    "turn.before": "A turn is about to be recorded, with its ref and the run's head.",
    "turn.written": "A turn, its ref and the head are recorded; no checkpoint names it.",
    "checkpoint.before": "LangGraph is about to write a checkpoint into the home's saver.",
    "checkpoint.written": "A checkpoint is written.",
    "resume.reopened": "A recorded question is taken up again; nothing is restored yet.",
    "resume.restored": "A worker has the namespace of before the turn.",
    "resume.replaying": "The worker was lost within a turn; the blocks before are about to be run again.",
    "result.before": "The question's result is about to be recorded.",
    "result.written": "The question's result is recorded; the caller does not have it.",
}
"""Every point and what has happened when it is reached."""

_watchers: list[Callable[[str], None]] = []


def reach(point: str) -> None:
    """Kills the process here if this passing of this point is armed."""
    for watcher in _watchers:
        watcher(point)
    armed = _armed()
    if armed is not None and armed[0] == point and next(armed[1]) == armed[2]:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(watcher: Callable[[str], None]) -> None:
    """Has a function of a test's called at every point, from whatever thread reaches it."""
    _watchers.append(watcher)


@cache
def _armed() -> tuple[str, Iterator[int], int] | None:
    """The armed point, the passings so far, and the one that kills."""
    given = environment.crash_point()
    if not given:
        return None
    name, _, number = given.partition(":")
    if name not in POINTS or not (number or "1").isdecimal():
        raise ConfigError(f"RLM_CRASH_POINT={given!r}: give NAME or NAME:N with a name of {', '.join(POINTS)}.")
    return name, count(1), int(number or 1)
