"""A home that takes no more, full or locked, while paid replies are on their way: said at once, nothing is wrong."""

import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kills import Scene
from payments import asked, recorded

from rlm_agent import Home, HomeError, Limits, create_rlm_agent
from rlm_agent.store import database
from rlm_agent.testing import ScriptedModel

RUN = Path(__file__).with_name("full_run.py")
CALLS = 20
CONTENT = [f"item {i}!" for i in range(CALLS)]
PAID = r"A reply of sub .* could not be recorded: it is lost, and is asked for again"


@pytest.mark.slow
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", RUN)
    process = subprocess.Popen(
        [sys.executable, str(RUN), str(scene.home), str(scene.logs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())["error"]
    assert str(scene.home) in said
    assert "free space" in said
    assert "A reply of sub" in said
    known, begun = recorded(scene.home), asked(scene.logs)
    assert known["sub"] < begun["sub"] < CALLS, "some were paid in vain, and no more were begun"
    process.stdin.write("\n")
    process.stdin.close()
    assert json.loads(process.stdout.readline()) == CONTENT
    assert process.wait(60) == 0
    assert asked(scene.logs)["sub"] - begun["sub"] == CALLS - known["sub"], "nothing recorded is asked again"


@pytest.mark.slow
def test_a_database_that_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than SQLite waits for it; here a second in place of thirty."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 1.0)
    home, release, calls = Home(tmp_path / "home"), threading.Event(), Counter[str]()

    def hold() -> None:
        connection = sqlite3.connect(home.path / "home.db", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        release.wait(60)
        connection.close()

    holder = threading.Thread(target=hold)

    def sub(messages: list[Any]) -> str:
        calls[messages[-1].content] += 1
        if calls.total() == 5:
            holder.start()
        return f"{messages[-1].content}!"

    def root(messages: list[Any]) -> str:
        cells = [f"replies = llm_batch([f'item {{i}}' for i in range({CALLS})])", "answer['content'] = list(replies)"]
        ready = "\nanswer['ready'] = True" if messages[-1].type == "human" and len(messages) > 2 else ""
        return f"```python\n{cells[sum(m.type == 'ai' for m in messages)]}{ready}\n```"

    agent = create_rlm_agent(
        ScriptedModel(replies=root),
        sub_model=ScriptedModel(replies=sub, delay=0.05, model_name="sub"),
        limits=Limits(concurrency=4),
        home=home,
    )
    config: Any = {"configurable": {"thread_id": "locked"}}
    with home:
        with pytest.raises(HomeError, match=rf"another process keeps it locked.*{PAID}"):
            agent.invoke({"messages": [("user", "q")]}, config)
        release.set()
        holder.join()
        begun = calls.total()
        (run,) = home.runs.list()
        known = home.ledger.count(run.id, "slot")
        assert agent.invoke(None, config)["rlm"]["content"] == CONTENT
        assert calls.total() - begun == CALLS - known
