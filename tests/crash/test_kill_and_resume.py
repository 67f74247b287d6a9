"""A run killed in a batch ends, in another process, as the undisturbed one does; nothing is paid twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Home
from rlm_agent.testing import read_calls

SCENARIO = Path(__file__).with_name("scenario.py")
EXPECTED = [210, 3, 100, 40, "961", False, False, sum(i * i for i in range(40))]


def start(home: Path, log: Path, durability: str, place: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(SCENARIO), str(home), str(log), durability, place]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=home.parent, env=os.environ.copy())


def replies(log: Path, model: str) -> int:
    return sum(call.model == model for call in read_calls(log, "reply"))


def kill_in_batch(
    home: Path, log: Path, how: tuple[str, str], after: int, extra: float, number: int = signal.SIGKILL
) -> None:
    """Sends the first process a signal once `after` sub-calls were answered, `extra` seconds later."""
    process = start(home, log, *how)
    deadline = time.monotonic() + 60
    while replies(log, "sub") < after:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(extra)
    process.send_signal(number)
    assert process.wait(timeout=20) == -number, "a kill counts only if the process died of it"
    process.communicate()


def recorded(home: Path) -> Counter[str]:
    with Home(home) as opened:
        (run,) = opened.runs.list("crash")
        return Counter(kind=opened.ledger.count(run.id, "slot"), root=opened.ledger.count(run.id, "root"))


def resume(home: Path, log: Path, how: tuple[str, str]) -> dict[str, Any]:
    process = start(home, log, *how)
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    return dict(json.loads(out))


def check(tmp_path: Path, how: tuple[str, str], after: int, extra: float, number: int = signal.SIGKILL) -> None:
    home, log = tmp_path / "crash-home", tmp_path / "calls.jsonl"
    kill_in_batch(home, log, how, after, extra, number)
    before = recorded(home)
    asked_before = len(read_calls(log, "start"))
    out = resume(home, log, how)
    assert out["content"] == EXPECTED
    assert out["ready"] is True
    again = read_calls(log, "start")[asked_before:]
    asked = Counter(call.model for call in again)
    assert asked["sub"] == 40 - before["kind"], "a recorded sub-agent reply was asked again"
    assert asked["root"] == 3 - before["root"], "a recorded root reply was asked again"
    assert out["usage"]["sub"]["calls"] == 40
    assert out["usage"]["root"]["calls"] == 3


def test_an_undisturbed_run_gives_the_expected_answer(tmp_path: Path) -> None:
    out = resume(tmp_path / "crash-home", tmp_path / "calls.jsonl", ("async", "alone"))
    assert out["content"] == EXPECTED
    assert out["turns"] == 3


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("durability", "place"),
    [
        pytest.param("sync", "alone", marks=SLOW),
        pytest.param("async", "node", marks=SLOW),
        ("exit", "node"),
        pytest.param("sync", "node", marks=SLOW),
        pytest.param("async", "alone", marks=SLOW),
        pytest.param("exit", "alone", marks=SLOW),
    ],
)
def test_killed_in_the_batch(durability: str, place: str, tmp_path: Path) -> None:
    check(tmp_path, (durability, place), after=33, extra=0.0)


def test_interrupted_by_ctrl_c_in_the_batch(tmp_path: Path) -> None:
    check(tmp_path, ("async", "alone"), after=3, extra=0.0, number=signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_lets_calls_on_their_way_be_answered(tmp_path: Path) -> None:
    home, log, how = tmp_path / "crash-home", tmp_path / "calls.jsonl", ("async", "few")
    kill_in_batch(home, log, how, after=1, extra=0.0, number=signal.SIGINT)
    begun = sum(call.model == "sub" for call in read_calls(log, "start"))
    assert 1 < begun < 40, "the batch was not over, and no more of it was begun"
    assert replies(log, "sub") == recorded(home)["kind"] == begun
    assert resume(home, log, how)["content"] == EXPECTED
    assert sum(call.model == "sub" for call in read_calls(log, "start")) == 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(1, 10))])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_killed_at_ten_instants(durability: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{durability}-{seed}")
    check(tmp_path, (durability, "alone"), after=draw.randrange(1, 40), extra=draw.random() * 0.02)
