"""Instants at which a run is killed: drawn from a seed, and hit by the clock.

A kill is a marker, a crash point that the run writes into its trace, and seconds from there. The trace also tells what
the process was doing when it died.
"""

import os
import random
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kills import Scene

from rlm_agent import Home
from rlm_agent.repl.manifest import Manifest, ManifestError

__all__ = ["Died", "Instant", "draw", "kill", "left_over", "orphans_after_sweep"]

SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Instant:
    """When: `seconds` after the n-th passing of a marker."""

    marker: str
    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Died:
    """How a process died: within a batch, a snapshot or neither; the processes that it had started."""

    within: str
    children: tuple[tuple[int, str], ...]


def draw(seed: str, length: float, batch: float, snapshot: float) -> Instant:
    """An instant in a run that takes `length` seconds, with six batches and thirty snapshots of the lengths named."""
    dice = random.Random(seed)
    where = dice.random()
    if where < 0.72:
        return Instant("batch.stored", dice.randint(1, 6), dice.random() * batch)
    if where < 0.9:
        return Instant("snapshot.before", dice.randint(1, 30), dice.random() * snapshot)
    return Instant("lease.taken", 1, dice.random() * length)


def kill(scene: Scene, instant: Instant) -> Died | None:
    """Starts the run and kills it at an instant. None: it came to its end before, which counts as no kill."""
    process = scene.start()
    deadline = time.monotonic() + SECONDS
    while _passings(scene.logs, instant.marker) < instant.number:
        if process.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.001)
    time.sleep(instant.seconds)
    children = _descendants(process.pid)
    process.kill()
    process.communicate()
    return Died(_within(scene.logs), children) if process.returncode == -signal.SIGKILL else None


def left_over(died: Died, scene: Scene, wait: float = 10.0) -> tuple[list[int], list[str]]:
    """Processes and temporary files that are still there `wait` seconds after the kill and the end of the run."""
    deadline = time.monotonic() + wait
    while True:
        processes = [pid for pid, started in died.children if _started(pid) == started]
        files = [entry.name for entry in (scene.root / "tmp").iterdir()]
        if not (processes or files) or time.monotonic() > deadline:
            return processes, files
        time.sleep(0.05)


def orphans_after_sweep(home: Path) -> set[str]:
    """What a home still holds after `rlm gc --grace 0` though no row and no snapshot names it: blobs and drafts."""
    with Home(home) as opened:
        opened.sweeper.sweep(grace=0)
        rows, texts = opened.write(_rows).result()
        files = {path.name for path in (home / "blobs").rglob("*") if path.is_file()}
        named = {key.decode() for text in texts for key in re.findall(rb"[0-9a-f]{64}", text)}
        for key in named & (rows | files):
            with suppress(ManifestError):
                named |= set(Manifest.decode(opened.blobs.get(key)).key_list())
    return ((rows | files) - named) | {path.name for path in (home / "tmp").iterdir()}


def _rows(connection: sqlite3.Connection) -> tuple[set[str], list[bytes]]:
    """The keys of the small blobs, and all else that the database holds."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    texts = [
        value if isinstance(value, bytes) else str(value).encode()
        for table in set(tables) - {"blobs"}
        for row in connection.execute(f"SELECT * FROM {table}")
        for value in row
    ]
    return {key for (key,) in connection.execute("SELECT key FROM blobs")}, texts


def _trace(logs: Path) -> list[str]:
    try:
        text = (logs / "trace").read_text()
    except FileNotFoundError:
        return []
    return [line.split()[1] for line in text[: text.rfind("\n") + 1].splitlines()]


def _passings(logs: Path, marker: str) -> int:
    return _trace(logs).count(marker)


def _within(logs: Path) -> str:
    for point in reversed(_trace(logs)):
        if point in ("batch.stored", "snapshot.before", "snapshot.taken", "snapshot.leaf", "snapshot.leaves"):
            return point.split(".")[0]
        if point in ("batch.answered", "snapshot.written"):
            break
    return ""


def _started(pid: int) -> str | None:
    """When a process started; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _descendants(pid: int) -> tuple[tuple[int, str], ...]:
    """All that a process has started, and what those have: (process id, start time)."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout.splitlines()
    parents = {int(child): int(parent) for child, parent in map(str.split, rows)}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    named = ((child, _started(child)) for child in found - {pid, os.getpid()})
    return tuple((child, started) for child, started in named if started is not None)
