"""A turn whose snapshot is slow: the next reply is asked for meanwhile; killed there, what the root has read stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import create_rlm_agent, open_run
from rlm_agent.store.home import default_home
from rlm_agent.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "t"}}
ASK: Any = {"messages": [("user", "질문")]}
SLOW = """```python
import os, time
class Slow:
    def __reduce__(self):
        time.sleep(1.5)
        return Slow, ()
slow, n, me = Slow(), 1, os.getpid()
print("worker", me)
```"""
READY = '```python\nanswer["content"] = [n, type(slow).__name__, me]\nanswer["ready"] = True\n```'


class Root:
    """A root that answers from a list, and remembers what it read, and how many turns were whole when it was asked."""

    def __init__(self, home: Path, *replies: str) -> None:
        self.home, self.replies, self.whole, self.read = home, list(replies), list[int](), list[str]()

    def __call__(self, messages: list[Any]) -> str:
        self.whole.append(len(open_run("t", home=self.home).turns))
        self.read.append(str(messages[-1].content))
        return self.replies.pop(0)


def ask(home: Path, given: Any, *replies: str) -> tuple[Root, Any]:
    root = Root(home, *replies)
    opened = default_home(home)
    agent = create_rlm_agent(ScriptedModel(replies=root), home=opened, checkpointer=opened.checkpointer)
    return root, agent.invoke(given, THREAD)


def test_the_next_reply_is_asked_for_while_a_slow_snapshot_is_written(tmp_path: Path) -> None:
    root, out = ask(tmp_path, ASK, SLOW, READY)
    assert out["rlm"]["content"][:2] == [1, "Slow"]
    assert root.whole == [0, 0], "the first turn was not recorded yet"
    first, second = open_run("t", home=tmp_path).turns
    assert first.record.costs["pending"] == 1
    assert "pending" not in second.record.costs, "the answer is given only when the turn is whole"
    assert "worker" in root.read[1]
    assert open_run("t", home=tmp_path).eval("n", turn=1).output == "1\n"


@pytest.mark.slow
def test_what_a_slow_snapshot_lost_is_told_a_turn_later(tmp_path: Path) -> None:
    lossy = SLOW.replace("print(", "lines = (x for x in 'ab')\nprint(")
    root, _out = ask(tmp_path, ASK, lossy, "```python\nn += 1\n```", READY)
    assert "'lines'" not in root.read[1]
    assert "Variable 'lines' (generator) was lost a turn ago: it lives only in the process" in root.read[2]
    assert [loss["name"] for loss in open_run("t", home=tmp_path).turns[0].lost] == ["lines"]


def test_a_snapshot_that_kills_its_worker_costs_its_turn_only(tmp_path: Path) -> None:
    deadly = (
        "```python\nimport os\nclass Deadly:\n    def __reduce__(self):\n        os._exit(3)\nbad, n = Deadly(), 2\n```"
    )
    then = '```python\nanswer["content"] = [n, "bad" in globals()]\nanswer["ready"] = True\n```'
    root, out = ask(tmp_path, ASK, "```python\nn = 1\n```", deadly, then)
    assert out["rlm"]["content"] == [1, False]
    assert "could not be saved, so all variables are again what they were before the turn" in root.read[2]
    assert [loss["name"] for loss in open_run("t", home=tmp_path).turns[1].lost] == ["*"]


def test_killed_while_pending_the_output_stays_what_the_root_has_read(tmp_path: Path) -> None:
    child = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_pending_turns import ASK, READY, SLOW, ask
ask(Path({str(tmp_path)!r}), ASK, SLOW, READY)
"""
    environment = {**os.environ, "RLM_CRASH_POINT": "root.written:2"}
    killed = subprocess.run([sys.executable, "-c", child], env=environment, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert open_run("t", home=tmp_path).turns == [], "the snapshot was not whole"

    root, out = ask(tmp_path, None)
    assert root.read == [], "both replies were recorded"
    first = open_run("t", home=tmp_path).turns[0]
    number = out["rlm"]["content"][2]
    assert first.output.startswith("worker ")
    assert first.output != f"worker {number}\n", "the cell ran again, in another process"
    assert first.record.shown.startswith(first.output.rstrip())
