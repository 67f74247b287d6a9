"""A run killed in a batch whose prompts hold times and random bytes asks nothing again that is recorded."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Home
from rlm_agent.testing import read_calls

SCENARIO = Path(__file__).with_name("clock_scenario.py")
CALLS = 60


def start(home: Path, log: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, str(SCENARIO), str(home), str(log)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=home.parent, env=os.environ.copy())


def kill_after(home: Path, log: Path, replies: int, extra: float = 0.0) -> int:
    """Kills a process once so many sub-calls were answered. Returns how many are on record."""
    process = start(home, log)
    deadline = time.monotonic() + 60
    while sum(call.model == "sub" for call in read_calls(log, "reply")) < replies:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(extra)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=20) == -signal.SIGKILL
    process.communicate()
    with Home(home) as opened:
        return opened.ledger.count(opened.runs.list("crash")[0].id, "slot")


def finish(home: Path, log: Path) -> dict[str, Any]:
    process = start(home, log)
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    return dict(json.loads(out))


def asked(log: Path) -> int:
    return sum(call.model == "sub" for call in read_calls(log, "start"))


def check(tmp_path: Path, kills: list[tuple[int, float]]) -> None:
    home, log = tmp_path / "crash-home", tmp_path / "calls.jsonl"
    recorded = 0
    for replies, extra in kills:
        recorded = kill_after(home, log, replies, extra)
    before = asked(log)
    out = finish(home, log)
    assert asked(log) - before == CALLS - recorded, "a recorded sub-agent reply was asked again"
    # None of the records that the killed processes left is without use.
    assert out["steps"] == {"slot": CALLS, "function": 1, "clock": 5}
    assert sum(out["replayed"][0]) == recorded
    distinct, _identity, later = out["content"]
    assert (distinct, later) == (CALLS, True)
    assert out["usage"]["sub"]["calls"] == CALLS


@pytest.mark.slow
def test_killed_in_each_of_two_batches(tmp_path: Path) -> None:
    check(tmp_path, [(7, 0.0), (40, 0.0)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(1, 10))])
def test_killed_at_many_instants(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    places = sorted(draw.sample(range(1, CALLS), 3))
    check(tmp_path, [(place, draw.random() * 0.02) for place in places])


@pytest.mark.slow
def test_two_runs_differ(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    outs = [finish(tmp_path / name / "home", tmp_path / f"{name}.jsonl") for name in "ab"]
    assert outs[0]["content"][1] != outs[1]["content"][1]
