"""Killed while two approvals wait, or while they are answered: gone on with in another process, nothing asked again."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from kills import Scene

RUN = Path(__file__).with_name("approval_run.py")
RIGHT = ["sent 글", "Error: a person rejected this call, and it was not run: 아니오", "plain"]


def killed_waiting(root: Path, place: str) -> tuple[Scene, dict[str, Any]]:
    """A run that was killed while two approvals waited, and what they were."""
    scene = Scene(root, RUN, (place, "ask"))
    process = scene.start()
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, scene.errors()[-3000:]
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    process.stdout.close()
    scene.arguments = (place, "answer")
    return scene, json.loads(line)


@pytest.mark.parametrize("place", [pytest.param("alone", marks=pytest.mark.slow), "host"])
def test_one_is_approved_and_one_rejected_in_another_process(place: str, tmp_path: Path) -> None:
    scene, waiting = killed_waiting(tmp_path / "run", place)
    assert sorted(value["action_requests"][0]["args"]["what"] for value in waiting.values()) == ["y", "글"]
    assert scene.asked() == {"root": 1, "sub": 3}
    assert scene.finish() == {"content": RIGHT, "answer": 1 if place == "host" else None}
    assert scene.asked() == {"root": 1, "sub": 5, "tool": 1}, "one tool ran, and two sub-agents read their results"


@pytest.mark.parametrize(
    ("place", "point"),
    [
        pytest.param("alone", "human.written:1", marks=pytest.mark.slow),
        pytest.param("alone", "human.before:2", marks=pytest.mark.slow),
        pytest.param("host", "human.written:2", marks=pytest.mark.slow),
        pytest.param("alone", "human.written:2", marks=pytest.mark.slow),
        pytest.param("alone", "tool.before:1", marks=pytest.mark.slow),
    ],
)
def test_killed_while_the_answers_are_taken_in(place: str, point: str, tmp_path: Path) -> None:
    """What was recorded of them stands; a tool that was not recorded runs again, as everywhere."""
    scene, _ = killed_waiting(tmp_path / "run", place)
    scene.die(point)
    assert scene.finish()["content"] == RIGHT
    asked = scene.asked()
    assert (asked["root"], asked["sub"]) == (1, 5)
    assert 1 <= asked["tool"] <= (2 if point.startswith("tool.before") else 1)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["alone", "host"])
def test_an_answer_on_record_is_not_asked_for_again(place: str, tmp_path: Path) -> None:
    """Killed when the ledger had it, and no checkpoint."""
    scene, _ = killed_waiting(tmp_path / "run", place)
    scene.arguments = (place, "approve")
    scene.die("human.written:1")
    scene.arguments = (place, "again")
    assert scene.finish() == {"waiting": 1}
    scene.arguments = (place, "answer")
    assert scene.finish()["content"] == RIGHT
    assert scene.asked() == {"root": 1, "sub": 5, "tool": 1}
