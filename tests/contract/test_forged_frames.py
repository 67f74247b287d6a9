"""Frames that a cell writes on its worker's channel: whole, well formed, of the protocol's own kinds, never meant."""

import re
import sys
import time
from pathlib import Path

import pytest
from three_turns import all_of, fenced, run

from rlm_agent import Home, Limits, SnapshotCorrupt, create_rlm_agent, open_run
from rlm_agent.repl import process
from rlm_agent.testing import ScriptedModel

FORGE = """
import msgpack, os, stat, struct
def forge(**message):
    body = msgpack.packb({"clock": [], **message})
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, struct.pack(">I", len(body)) + body)
        except OSError: pass
def forge_end(**changed):
    end = {"op": "done", "output": "forged", "error": None, "error_kind": None}
    forge(**end, answer={"content": '"forged"', "ready": False}, **changed)
def forge_calls(number, calls, **changed):
    forge(**{"op": "request", "id": number, "kind": "llm", "running": 0, "calls": [{"prompt": "?"}] * calls, **changed})
late = 1
"""
# code of the second turn; what the root reads of it; whether its variables are kept; sub-calls that were paid for.
FORGED: dict[str, tuple[str, str, bool, int]] = {
    "an end": ("forge_end()", r"\Aforged\s.*could not be saved.*it sent no snapshot", False, 0),
    "an end of a cell that goes on": (
        "forge_end()\nwhile True: pass",
        "forged.*could not be saved.*took over",
        False,
        0,
    ),
    "an end and a snapshot": (
        "from rlm_agent.repl.manifest import Manifest\nforge_end()\n"
        "root = Manifest('3.11', b'k' * 64, b'body').encode()\n"
        "forge(op='snapshot', manifest=root, variables=[], lost=[], seconds=0.1)",
        "forged.*could not be saved.*names other leaves than it sent",
        False,
        0,
    ),
    "a failure": ("forge(op='fault', error='forged')", "The REPL worker failed: forged", False, 0),
    "leaves in a cell": (
        "forge(op='leaves', leaves=[b'x'])",
        "broke the protocol: it sent no request or done",
        False,
        0,
    ),
    "more calls than a message may hold": ("forge_calls(1, 100_001)", "a request 'llm' of 100001 calls", False, 0),
    "a call that is no plain data": (
        "deep = []\nfor _ in range(300): deep = [deep]\n"
        "forge(op='request', id=1, kind='llm', running=0, calls=[{'prompt': '?', 'tools': deep}])",
        "a call is no plain data: it is nested more than 200 deep",
        False,
        0,
    ),
    # The refusal is the reply to the request of that number, which the cell has made before so many are counted.
    "more calls than are left": (
        "forge_calls(1, 10_000)\nprint(llm('mine'))",
        "BudgetExceeded: this batch needs 10000 sub-calls, 2000 of 2000 are left; nothing was sent",
        True,
        1,
    ),
    "calls that nobody waits for": ("forge_calls(99, 3)\nprint(llm('mine'))", r"\Alate\s", True, 4),
    "a function that is none": (
        "forge_calls(99, 0, kind='function', name='os.system', args=['id'], kwargs={})\nprint(llm('mine'))",
        r"\Alate\s",
        True,
        1,
    ),
    "one number for two": ("forge_calls(1, 1)\nprint(llm('mine'))", r"\Alate\s", True, 2),
}


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CARE_SECONDS", 3.0)


@pytest.mark.parametrize("forged", [pytest.param(f, marks=pytest.mark.slow if "goes on" in f else []) for f in FORGED])
def test_a_forged_frame_costs_its_own_turn_only(forged: str) -> None:
    code, pattern, is_kept, paid = FORGED[forged]
    (turn, _after), result = run(FORGE + code, Limits())
    assert re.search(pattern, all_of(turn), re.DOTALL), all_of(turn)[-2000:]
    assert result["content"] == [["앞", 1], 10, is_kept]
    assert result["usage"]["sub"]["calls"] == paid


@pytest.mark.slow
def test_the_largest_batch_is_refused_in_time_that_grows_with_its_size() -> None:
    """Where each of its calls was compared with each, the loop that all runs share stood still for 90 s."""
    began = time.process_time()
    (turn, _after), result = run(FORGE + "forge_calls(1, 99_999)\nprint(llm('mine'))", Limits())
    assert "this batch needs 99999 sub-calls" in turn.output
    assert result["usage"]["sub"]["calls"] == 1
    assert time.process_time() - began < 30


def test_a_forged_snapshot_that_no_worker_can_load_leaves_the_turn_before_it(tmp_path: Path) -> None:
    """A host cannot look into a snapshot; a worker of its own finds it out when it has to start from it."""
    forged = (
        "from rlm_agent.repl.manifest import Manifest\nforge_end()\n"
        "forge(op='snapshot', manifest=Manifest('3.11', b'', b'x').encode(), variables=[], lost=[], seconds=0.1)"
    ).replace("3.11", f"{sys.version_info.major}.{sys.version_info.minor}")
    cells = ["kept = [1]", FORGE + forged, "import os\nos._exit(1)", "answer['content'] = kept\nanswer['ready'] = True"]
    with Home(tmp_path / "h") as home:
        root = ScriptedModel(replies=[fenced(cell) for cell in cells])
        agent = create_rlm_agent(root, home=home, checkpointer=home.checkpointer)
        with pytest.raises(SnapshotCorrupt, match="Turn 1 is the newest that is whole") as raised:
            agent.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "t"}})
        assert "rlm fork t --turn 1" in str(raised.value)
        assert "--rebuild" not in str(raised.value)
        again = create_rlm_agent(ScriptedModel(replies=[fenced(cells[-1])]), home=home, checkpointer=home.checkpointer)
        fork = open_run("t", home=home).fork(turn=1, message="go on")
        assert again.invoke(None, fork)["rlm"]["content"] == [1]
