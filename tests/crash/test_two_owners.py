"""Two processes want one run: at the same instant, and where one was stopped beyond its lease and comes back."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kills import Scene

from rlm_agent import Home, ModelError, create_rlm_agent, keys
from rlm_agent.testing import ScriptedModel, read_calls

RUN = Path(__file__).with_name("owner_run.py")
CALLS = 8
CONTENT = [f"item {i}!" for i in range(CALLS)]


def unfinished(home: Path, number: int) -> None:
    """Threads whose question is recorded, and nothing else: the provider was away."""
    with Home(home) as opened:
        agent = create_rlm_agent(
            ScriptedModel(replies=[ConnectionError("away")] * number), home=opened, checkpointer=opened.checkpointer
        )
        for thread in range(number):
            with pytest.raises(ModelError):
                agent.invoke({"messages": [("user", "q")]}, {"configurable": {"thread_id": str(thread)}})


def outcomes(scene: Scene, number: int, wait: float) -> tuple[list[tuple[Any, Any]], list[int]]:
    """What two processes got of each thread, and their ids."""
    unfinished(scene.home, number)
    processes = []
    for me in ("a", "b"):
        scene.arguments = ("both", str(number), me, str(wait))
        processes.append(scene.start())
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], scene.errors()
    a, b = ([json.loads(line) for line in text.splitlines()] for text in said)
    return list(zip(a, b, strict=True)), [process.pid for process in processes]


def each_asked_once(scene: Scene, number: int) -> None:
    asked = Counter(call.model for call in read_calls(scene.logs / "models.jsonl", "start"))
    assert asked == {f"{role} {n}": times for n in range(number) for role, times in (("root", 2), ("sub", CALLS))}


@pytest.mark.parametrize("number", [5, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_at_the_same_instant_without_a_wait(number: int, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", RUN)
    pairs, pids = outcomes(scene, number, 0.0)
    for pair in pairs:
        held = [place for place, outcome in enumerate(pair) if outcome.get("error") == "LeaseHeld"]
        assert len(held) == 1, pair
        assert f"process {pids[1 - held[0]]} " in pair[held[0]]["text"], "it names the owner"
        assert pair[1 - held[0]] == {"content": CONTENT}
    each_asked_once(scene, number)


@pytest.mark.slow
def test_at_the_same_instant_with_a_wait(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", RUN)
    pairs, _ = outcomes(scene, 2, float("inf"))
    assert pairs == [({"content": CONTENT}, {"content": CONTENT})] * 2
    each_asked_once(scene, 2)


def stop_between_commits(pid: int, database: Path) -> None:
    """Stops a process where it does not hold the file's lock: in the middle of a commit nobody else could go on."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)  # all its threads stand still; until then one may commit
        connection = sqlite3.connect(database, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.002)
        finally:
            connection.close()


@pytest.mark.slow
def test_an_owner_that_was_stopped_beyond_its_lease_comes_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", RUN, ("slow",))
    first = scene.start()
    deadline = time.monotonic() + 60
    while sum(call.model == "sub slow" for call in read_calls(scene.logs / "models.jsonl", "reply")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    stop_between_commits(first.pid, scene.home / "home.db")
    known = scene.recorded()
    begun = scene.asked()
    assert 0 < begun["sub slow"] < CALLS, "it was stopped within the batch"
    assert scene.finish() == {"content": CONTENT}
    recorded, asked = scene.recorded(), scene.asked()
    first.send_signal(signal.SIGCONT)
    out, _ = first.communicate(timeout=60)
    assert json.loads(out)["error"] == "LeaseLost", scene.errors()
    assert scene.recorded() == recorded == {"root": 2, "sub": CALLS}, "nothing was recorded by it, nothing twice"
    assert asked["sub slow"] - begun["sub slow"] == CALLS - known["sub"]
    with Home(scene.home) as home:
        (run,) = home.runs.list("slow")
        assert [turn.number for turn in home.turns.list(run.id)] == [1, 2]
        assert home.runs.question(run.id).status == "answered"


def rlm_resume(home: Path, option: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "rlm_agent.cli.main", "resume", "0", "--model", "offline", option]
    environment = {**os.environ, "RLM_HOME": str(home)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
async def test_the_command_line_waits_as_it_is_told(tmp_path: Path) -> None:
    """`rlm resume --no-wait` says at once who works on the thread; `--wait` goes on when that is over."""
    await asyncio.to_thread(unfinished, tmp_path / "home", 1)
    with Home(tmp_path / "home") as home:
        lease = await home.leases.acquire(keys.place("0", "", "rlm"))
        waiting, refused = rlm_resume(tmp_path / "home", "--wait"), rlm_resume(tmp_path / "home", "--no-wait")
        _, said = await asyncio.to_thread(refused.communicate, timeout=100)
        assert refused.returncode == 1, said
        assert f"held by process {os.getpid()} " in said
        assert waiting.poll() is None
        await lease.release()
        _, said = await asyncio.to_thread(waiting.communicate, timeout=100)
        assert waiting.returncode in (0, 3), said
