"""A call that acts once is made at most once, wherever the run is killed; what is not known of it is said."""

from pathlib import Path

import pytest
from kills import Scene

RUN = Path(__file__).with_name("once_run.py")
PAID, SENT = "paid 3", "success: sent 글"
NOT_AGAIN = "was started before this run was interrupted"


@pytest.mark.parametrize(
    ("point", "calls", "known"),
    [
        ("function.before", {"function": 1, "tool": 1}, (False, True)),
        ("tool.before", {"function": 1, "tool": 1}, (True, False)),
        pytest.param("started.before:1", {"function": 1, "tool": 1}, (True, True), marks=pytest.mark.slow),
        pytest.param("started.written:1", {"function": 0, "tool": 1}, (False, True), marks=pytest.mark.slow),
        pytest.param("started.before:2", {"function": 1, "tool": 1}, (True, True), marks=pytest.mark.slow),
        pytest.param("started.written:2", {"function": 1, "tool": 0}, (True, False), marks=pytest.mark.slow),
        pytest.param("function.written", {"function": 1, "tool": 1}, (True, True), marks=pytest.mark.slow),
        pytest.param("tool.written", {"function": 1, "tool": 1}, (True, True), marks=pytest.mark.slow),
    ],
)
def test_killed_there(point: str, calls: dict[str, int], known: tuple[bool, bool], tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", RUN)
    scene.die(point)
    out = scene.finish()
    assert {kind: scene.asked()[kind] for kind in calls} == calls
    paid, sent = known
    assert (out["paid"] == PAID) is paid
    assert (NOT_AGAIN in out["paid"]) is not paid
    assert (out["sent"] == SENT) is sent
    assert out["sent"].startswith("success" if sent else "error")
    assert (NOT_AGAIN in out["sent"]) is not sent
    assert out["error"] is None, "the sub-agent read it, and answered"


@pytest.mark.slow
def test_what_is_said_of_it_is_recorded_too(tmp_path: Path) -> None:
    """Killed again after that, the run says the same, and still does not act."""
    scene = Scene(tmp_path / "run", RUN)
    scene.die("started.written:1")
    scene.die("turn.written")
    assert NOT_AGAIN in scene.finish()["paid"]
    assert scene.asked()["function"] == 0
