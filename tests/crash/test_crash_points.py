"""Killed at every crash point, a run ends in another process as the undisturbed one does, and nothing is paid twice.

By default two points are tried, with --slow each point under one durability mode, with --kills 200 under all three.
"""

from pathlib import Path
from typing import Any

import pytest
from kills import Scene

from rlm_agent.crash_points import POINTS

RUN = Path(__file__).with_name("points_run.py")
LATER = {
    "batch.answered": 2,
    "checkpoint.written": 9,
    "commit.after": 30,
    "commit.before": 25,
    "model.before": 5,
    "model.written": 7,
    "root.before": 4,
    "root.written": 3,
    "slot.written": 4,
    "snapshot.leaf": 20,
    "snapshot.leaves": 2,
    "snapshot.taken": 3,
    "tool.before": 3,
    "tool.written": 4,
    "turn.before": 6,
    "turn.written": 2,
}
"""The passing at which a point kills, where the first tells less."""
BEFORE = {"resume.reopened": "slot.written:3", "resume.restored": "slot.written:5", "batch.answered": "slot.written:6"}
"""Where the run was killed before, so that the point is reached by a run that is gone on with."""
QUICK = {("slot.written", "sync"), ("snapshot.leaves", "exit")}


MODES = ("sync", "async", "exit")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "durability" not in metafunc.fixturenames:
        return
    whole = metafunc.config.getoption("--kills") >= 200
    points = [point for point in POINTS if not point.startswith(("started.", "human."))]  # of files of their own
    each = {(point, mode) for n, point in enumerate(points) for mode in (MODES if whole else (MODES[n % 3],))}
    pairs = sorted(each | QUICK)
    marks = [() if pair in QUICK else pytest.mark.slow for pair in pairs]
    metafunc.parametrize(
        ("point", "durability"), [pytest.param(*pair, marks=mark) for pair, mark in zip(pairs, marks, strict=True)]
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    scene = Scene(tmp_path_factory.mktemp("undisturbed") / "run", RUN, ("async",))
    outcome = scene.finish()
    assert outcome["stopped_by"] == "ready"
    assert outcome["calls"] == {"root": 7, "sub": 15}
    assert outcome["lost"] == []
    assert scene.asked() == scene.recorded() == {"root": 7, "sub": 15, "tool": 6, "function": 1}
    return outcome, scene.asked()


def test_killed_there_and_gone_on_with(point: str, durability: str, undisturbed: Any, tmp_path: Path) -> None:
    outcome, payments = undisturbed
    scene = Scene(tmp_path / "run", RUN, (durability,))
    if point in BEFORE:
        scene.die(BEFORE[point])
    passing = 1 if point.startswith("checkpoint") and durability == "exit" else LATER.get(point, 1)
    scene.die(f"{point}:{1 if point in BEFORE else passing}")
    before, known = scene.asked(), scene.recorded()
    assert scene.finish() == outcome
    assert scene.asked() - before == payments - known, "asked again: " + str(scene.asked() - before - payments + known)


def test_points_are_named_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name in the variable is an error; one in the code would be found by the test above, which arms all."""
    from rlm_agent import ConfigError, crash_points

    monkeypatch.setenv("RLM_CRASH_POINT", "turn.wirtten")
    crash_points._armed.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"turn\.wirtten.*turn\.written"):
            crash_points.reach("turn.written")
    finally:
        crash_points._armed.cache_clear()
