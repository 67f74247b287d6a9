"""Children are resumed as exactly as their parent: killed anywhere, the same answer, nothing on record paid again."""

import json
from pathlib import Path
from typing import Any

import pytest
from kills import Scene

RUN = Path(__file__).with_name("recursion_run.py")
CALLS = {"root": 2, "sub": 2 * (4 + 3 + 2)}
DEFAULT = ["slot.written:4", "turn.written:4"]
SLOW = [
    f"{point}:{count}"
    for point, counts in {
        "root.written": (2, 3, 4, 5, 6, 8, 10),
        "root.before": (2, 3, 6, 9),
        "slot.written": (1, 2, 3, 6, 8, 9),
        "slot.before": (1, 5, 8),
        "turn.written": (1, 2, 3, 5, 8, 10),
        "snapshot.before": (2, 4, 6, 8),
        "question.written": (2, 3, 4, 5),
        "question.before": (2, 4),
        "result.before": (1, 2, 3, 4),
        "result.written": (1, 2, 3, 4),
        "batch.answered": (1, 2, 3, 5),
    }.items()
    for count in counts
    if f"{point}:{count}" not in DEFAULT
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    scene = Scene(tmp_path_factory.mktemp("undisturbed") / "run", RUN)
    out = scene.finish()
    assert dict(scene.asked()) == CALLS
    assert out["calls"] == sum(CALLS.values())
    answers = [json.loads(answer) for answer in out["content"][0]]
    assert answers == [
        [["LEFTONE", "LEFT둘", "LEFTTHREE"], "deepest left 3"],
        [["RIGHTONE", "RIGHT둘", "RIGHTTHREE"], "deepest right 3"],
    ]
    return out


def _seldom(number: int, point: str) -> Any:
    return pytest.param(point, marks=pytest.mark.exhaustive if number % 3 else pytest.mark.slow)


@pytest.mark.parametrize("point", [*DEFAULT, *(_seldom(*numbered) for numbered in enumerate(SLOW))])
def test_killed_there_and_gone_on_with(point: str, undisturbed: Any, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", RUN)
    scene.die(point)
    asked, known = scene.asked().total(), scene.recorded().total()
    assert scene.finish() == undisturbed
    assert scene.asked().total() - asked == sum(CALLS.values()) - known, "what was not on record, once more each"
    assert scene.recorded().total() == sum(CALLS.values())
