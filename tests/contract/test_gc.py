"""`rlm gc` beside processes that work: real ones write snapshots, real ones sweep, and every run restores whole."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import create_rlm_agent, open_run
from rlm_agent.cli.main import main
from rlm_agent.store import snapshots
from rlm_agent.store.home import Home
from rlm_agent.testing import ScriptedModel

# Does what an entry does, in that order, again and again. Leaves are taken from few, so that most are there already;
# two of three runs are removed at once, so that most of those that are there are named by nobody.
WRITER = """
import asyncio, random, sys, time
from rlm_agent import keys
from rlm_agent.repl.kernel import Snapshot
from rlm_agent.repl.manifest import Manifest
from rlm_agent.recorded.removal import remove_runs
from rlm_agent.store import snapshots
from rlm_agent.store.home import Home
from rlm_agent.store.plain import digest
from rlm_agent.store.records import QuestionRecord, RunRecord, TurnRecord

def snapshot(seed):
    rng = random.Random(seed)
    leaves = [random.Random(n).randbytes(70_000 if n % 2 else 500) for n in rng.sample(range(12), 4)]
    new = {digest(leaf): leaf for leaf in leaves}
    body = b"".join(map(bytes.fromhex, new))
    return Snapshot(Manifest("3.11", body, seed.encode()).encode(), new, (), (), 0.0)

async def entry(home, thread):
    run = RunRecord(thread, thread, "", "rlm", time.time())
    question = QuestionRecord(thread, 1, None, "d", {"id": "m", "text": "?", "content": "?"}, [], None, "", 1, "g")
    async with await home.leases.acquire(keys.place_of(run)) as lease:
        await home.runs.create(run, question, lease.fence)
        parent = None
        for number in range(1, 6):
            output = await home.blobs.put(f"output {number % 3}".encode() * 1000)
            key = await snapshots.save(home, snapshot(f"{thread} {number}"))
            turn = TurnRecord("", thread, number, 1, parent, "g", f"l{number}", "k", "", "", "", (), "", output, "",
                              None, 0.0, (), (), {"content": "", "ready": False}, key, (), (), at=time.time())
            parent = (await home.turns.add(turn, lease.fence)).id
    return run

async def main():
    with Home(sys.argv[1]) as home:
        for n in range(int(sys.argv[3])):
            run = await entry(home, f"{sys.argv[2]}{n}")
            if n % 3:
                await remove_runs(home, [run])

asyncio.run(main())
"""

# The clock is taken at its word, or runs of a minute before a living one would be spared.
SWEEPER = """
import sys, threading
from rlm_agent.store import sweep
from rlm_agent.store.home import Home

sweep._CLOCK_SECONDS = 0.0
told, freed = threading.Event(), []
threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
with Home(sys.argv[1]) as home:
    print("ready", flush=True)
    while not told.is_set():
        freed.append(home.sweeper.sweep(grace=0))
print(len(freed), sum(one.blobs for one in freed), sum(len(one.damaged) for one in freed))
"""


@pytest.mark.slow
def test_nothing_is_lost_beside_processes_that_write(tmp_path: Path) -> None:
    path, rounds = tmp_path / "home", 24
    sweeper = subprocess.Popen(
        [sys.executable, "-c", SWEEPER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert sweeper.stdout is not None
    assert sweeper.stdout.readline() == "ready\n"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(rounds)]) for name in "ab"]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    out, _ = sweeper.communicate("stop\n", timeout=60)
    sweeps, freed, damaged = map(int, out.split())
    assert sweeps > 5
    assert freed > 50, "the sweeps had nothing to take, so this shows nothing"
    assert damaged == 0
    with Home(path) as home:
        kept = home.runs.list()
        assert len(kept) == 2 * rounds // 3
        for run in kept:
            chain = home.turns.list(run.id)
            assert len(chain) == 5
            assert snapshots.broken(home, chain) == {}
            assert all(home.blobs.get(turn.output_ref) for turn in chain if turn.output_ref)


READY = '```python\nanswer["content"] = str(big.sum())\nanswer["ready"] = True\n```'
TURN = "```python\nn = {n}\nbig = np.random.default_rng(n).random(50_000)\n```"
Rlm = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rlm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_home: Path) -> Rlm:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rlm", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


def asked(home: Home, replies: list[str], thread: str = "t") -> Any:
    agent = create_rlm_agent(ScriptedModel(replies=replies), home=home, checkpointer=home.checkpointer)
    return agent.invoke({"messages": [("user", "q")]}, {"configurable": {"thread_id": thread}})


def test_keep_frees_older_variables_and_the_run_goes_on(rlm: Rlm, own_home: Path) -> None:
    with Home(own_home) as home:
        asked(home, [*(TURN.format(n=n) for n in range(1, 5)), READY])
        before = [turn.record for turn in open_run("t", home=home).turns]
    would = json.loads(rlm("gc", "--keep", "2", "--grace", "0", "--dry-run", "--json")[1])
    code, out, err = rlm("gc", "--keep", "2", "--grace", "0")
    assert (code, err) == (0, "")
    assert would["turns"] == 3
    assert would["blob_bytes"] > 3 * 400_000
    assert out.startswith(f"freed {would['blobs']} blobs (1.2 MB), 0 inputs (0 bytes), 0 web pages (0 bytes), 0 drafts")
    assert out.endswith("; 3 turns gave up the variables\n")
    with Home(own_home) as home:
        run = open_run("t", home=home)
        assert [turn.record for turn in run.turns] == before
        assert [run.value("n", turn=number) for number in (4, 5)] == [4, 4]
        assert asked(home, ['```python\nanswer["content"] = n\nanswer["ready"] = True\n```'])["rlm"]["content"] == 4
        assert home.sweeper.sweep(grace=0).damaged == ()


def test_a_fork_at_a_turn_that_was_given_up_says_that_it_needs_a_rebuild(rlm: Rlm, own_home: Path) -> None:
    with Home(own_home) as home:
        asked(home, [*(TURN.format(n=n) for n in range(1, 3)), READY])
    assert rlm("gc", "--keep", "1", "--grace", "0")[0] == 0
    code, out, err = rlm("fork", "t", "--turn", "1", "--thread", "f")
    assert (code, out.strip()) == (0, "f")
    assert "--rebuild" not in rlm("fork", "t", "--turn", "3")[2]
    assert "the variables of turn 1 are not whole any more: --rebuild runs the recorded cells again" in err
    assert "resume f" in err
    assert "--rebuild\n" in err


def test_a_home_of_answered_runs_has_nothing_to_free_without_keep(rlm: Rlm, own_home: Path) -> None:
    with Home(own_home) as home:
        asked(home, [TURN.format(n=1), READY])
    code, out, _ = rlm("gc")
    assert (code, out) == (
        0,
        "freed 0 blobs (0 bytes), 0 inputs (0 bytes), 0 web pages (0 bytes), 0 drafts of dead processes (0 bytes)\n",
    )


def test_a_lost_snapshot_is_named(rlm: Rlm, own_home: Path) -> None:
    with Home(own_home) as home:
        asked(home, [TURN.format(n=1), READY])
        turn = open_run("t", home=home).turns[0].record
        home.write(lambda c: c.execute("DELETE FROM blobs WHERE key = ?", (turn.snapshot,)).rowcount).result()
    code, _, err = rlm("gc", "--dry-run")
    assert code == 0
    assert f"the snapshot of turn {turn.id} is missing" in err
    assert rlm("gc", "--keep", "0")[0] == 2


def test_a_checkpoint_in_the_middle_of_a_batch_can_be_entered_after_its_chunks_were_freed(own_home: Path) -> None:
    cell = '```python\nanswer["content"] = [str(r) for r in llm_batch(["a", "b"])]\nanswer["ready"] = True\n```'
    config: Any = {"configurable": {"thread_id": "t"}}
    with Home(own_home) as home:
        out = asked(home, [cell, "re", "re"])
        model = ScriptedModel(replies=[])
        agent = create_rlm_agent(model, home=home, checkpointer=home.checkpointer)
        middle = next(state for state in agent.get_state_history(config) if "sub_agent" in state.next)
        assert home.sweeper.sweep(grace=0).blobs == 1
        assert agent.invoke(None, middle.config)["rlm"]["content"] == out["rlm"]["content"] == ["re", "re"]
