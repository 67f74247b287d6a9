"""The crash suite: a run of thirty turns, killed by the clock, again and again, and gone on with to its end.

`pytest -s --slow tests/crash --kills 200` is the whole of it, with every crash point; see docs/durability.md.
"""

import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from instants import Instant, draw, kill, left_over, orphans_after_sweep
from kills import Scene

RUN = Path(__file__).with_name("thirty_turns.py")
TOGETHER = 2
MODES = ("sync", "async", "exit")


@dataclass
class Tally:
    """What came of the kills. All but the first two must be 0."""

    kills: int = 0
    within: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    lost: int = 0
    again: int = 0
    processes: int = 0
    files: int = 0
    stored: int = 0
    why: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __str__(self) -> str:
        inside = f"{self.within['batch']} inside a batch, {self.within['snapshot']} inside a snapshot"
        return "\n".join(
            [
                f"kills                        {self.kills} ({inside})",
                f"wrong answers or variables   {self.wrong}",
                f"lost variables               {self.lost}",
                f"recorded steps asked again   {self.again}",
                f"orphaned processes           {self.processes}",
                f"orphaned temporary files     {self.files}",
                f"orphaned blobs after a gc    {self.stored}",
                *self.why,
            ]
        )


@dataclass(frozen=True)
class Undisturbed:
    """The run that nobody killed: its outcome, what it asked, and how long it, a batch and a snapshot take."""

    outcome: dict[str, Any]
    asked: Counter[str]
    length: float
    batch: float
    snapshot: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    scene = Scene(tmp_path_factory.mktemp("undisturbed") / "run", RUN, ("async",))
    outcome = scene.finish()
    assert outcome["answer"]["relations"] == [True] * 20
    assert outcome["calls"] == {"root": 30, "sub": 6 * (45 + 5 * 3)}
    assert outcome["turns"] == 30
    assert (outcome["errors"], outcome["lost"]) == ([21], [])
    assert scene.asked() == scene.recorded() == {"root": 30, "sub": 360, "tool": 60, "function": 1}
    times = [line.split() for line in (scene.logs / "trace").read_text().splitlines()]
    length = float(times[-1][0]) - float(times[0][0])
    return Undisturbed(
        outcome,
        scene.asked(),
        length,
        _mean(times, "batch.stored", "batch.answered"),
        _mean(times, *_SNAPSHOT),
    )


_SNAPSHOT = ("snapshot.before", "snapshot.written")


def _mean(times: list[list[str]], begin: str, end: str) -> float:
    spans, since = [], None
    for at, point in times:
        if point == begin:
            since = float(at)
        elif point == end and since is not None:
            spans.append(float(at) - since)
            since = None
    return sum(spans) / len(spans)


def one(root: Path, number: int, expected: Undisturbed, tally: Tally) -> None:
    """Kills one run; goes on with it; adds what came of it to the tally."""
    scene, instant, died = None, None, None
    for attempt in range(20):
        instant = draw(f"{number}-{attempt}", expected.length, expected.batch, expected.snapshot)
        scene = Scene(root / f"{number}-{attempt}", RUN, (MODES[number % 3],))
        if (died := kill(scene, instant)) is not None:
            break
        shutil.rmtree(scene.root)
    assert scene is not None
    assert died is not None
    before, known = scene.asked(), scene.recorded()
    try:
        outcome: dict[str, Any] = scene.finish()
    except AssertionError as error:
        outcome = {"lost": [], "error": str(error)[-1500:]}
    again = scene.asked() - before - (expected.asked - known)
    processes, files = left_over(died, scene)
    stored = len(orphans_after_sweep(scene.home))
    with tally.lock:
        _count(tally, number, instant, died.within, outcome, expected, again)
        tally.processes += len(processes)
        tally.files += len(files)
        tally.stored += stored
        with open(root / "tally", "w") as file:  # so that a run of an hour can be looked at
            print(tally, file=file)
    if outcome == expected.outcome and not files:
        shutil.rmtree(scene.root)


def _count(
    tally: Tally, number: int, instant: Instant | None, within: str, outcome: Any, expected: Any, again: Counter[str]
) -> None:
    tally.kills += 1
    tally.within[within] += 1
    tally.lost += len(outcome["lost"])
    tally.again += again.total()
    if outcome != expected.outcome:
        tally.wrong += 1
        differ = {k: v for k, v in outcome.items() if expected.outcome.get(k) != v}
        tally.why.append(f"wrong: kill {number} at {instant}, within {within!r}: {differ}")
    if again:
        tally.why.append(f"asked again: kill {number} at {instant}, within {within!r}: {dict(again)}")


@pytest.mark.slow
def test_killed_by_the_clock(
    undisturbed: Undisturbed, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number, began, tally = request.config.getoption("--kills"), time.monotonic(), Tally()
    with ThreadPoolExecutor(TOGETHER) as pool:
        for done in [pool.submit(one, tmp_path, n, undisturbed, tally) for n in range(number)]:
            done.result()
    with capsys.disabled():
        print(f"\n{tally}\nin {time.monotonic() - began:.0f} s; an undisturbed run takes {undisturbed.length:.1f} s")
    assert tally.kills == number
    assert tally.within["batch"] + tally.within["snapshot"] >= 0.75 * number
    bad = (tally.wrong, tally.lost, tally.again, tally.processes, tally.files, tally.stored)
    assert bad == (0, 0, 0, 0, 0, 0), str(tally)
