"""Snapshots that cannot be restored: named, with a way out; rebuilt from the record without a call."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import ModelError, SnapshotCorrupt, StateVersionError, create_rlm_agent, open_run
from rlm_agent.store import snapshots
from rlm_agent.store.home import Home, default_home
from rlm_agent.testing import ScriptedModel, read_calls

THREAD: Any = {"configurable": {"thread_id": "t"}}
REBUILD: Any = {"configurable": {"thread_id": "t", "rlm_rebuild": True}}
CELLS = [
    "import random\nn, kept, names = 1, [], {'가': 1}\ndef add(x):\n    kept.append(x)\n    return len(kept)",
    "found = [str(r) for r in llm_batch([f'look at {i}' for i in range(3)])]\nadd(random.random())",
    "big = random.randbytes(300_000)\nlooked = look('x', n=2)\nn / 0",
    "n += 1\nadd(n)",
    "answers = llm_batch(['same', 'same', ''], model='nobody')\nadd([a.error for a in answers])",
]
READY = 'answer["content"] = f"{n} {len(kept)} {found} {looked} {task}"\nanswer["ready"] = True'
TURNS = 30


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


class Bench:
    """An agent over a home, whose run fails at the root's last reply; `paid` counts replies and function calls."""

    def __init__(self, path: Path, turns: int = TURNS) -> None:
        self.path, self.log, self.looks = path / "bench", path / "calls.jsonl", 0
        cells = itertools.chain(CELLS, itertools.repeat(CELLS[3]))
        self.script: Iterator[Any] = iter([fenced(next(cells)) for _ in range(turns)] + [ModelError("down")])
        self.home = default_home(self.path)

    def look(self, what: str, n: int) -> list[Any]:
        """A host function that is paid for."""
        self.looks += 1
        return [what, n, self.looks]

    def agent(self) -> Any:
        def root(messages: list[Any]) -> Any:
            reply = next(self.script)
            if isinstance(reply, Exception):
                raise reply
            return reply

        return create_rlm_agent(
            ScriptedModel(replies=root, log=self.log),
            sub_model=ScriptedModel(replies=lambda m: f"re {m[-1].content}", log=self.log),
            repl_functions=[self.look],
            home=self.home,
            checkpointer=self.home.checkpointer,
        )

    def ask(self, config: Any = THREAD, text: str | None = "질문") -> Any:
        return self.agent().invoke(None if text is None else {"messages": [("user", text)]}, config)

    @property
    def paid(self) -> tuple[int, int]:
        return len(read_calls(self.log, "reply")), self.looks

    @property
    def run(self) -> Any:
        return open_run("t", home=self.home)

    def snapshots(self, *, after: int = 0) -> set[str]:
        """The blobs that the snapshots of the turns after this one need."""
        keys = {str(self.home.signatures.snapshot_of(turn.record)) for turn in self.run.turns[after:]}
        return keys.union(*(snapshots.keys_of(self.home.blobs.get(key)) for key in keys))

    def values(self, run: Any = None) -> str:
        """The variables as the worker sees them."""
        return str((run or self.run).eval("print([n, kept, names, found, looked, big[:3], len(big), add(0)])").output)


def remove(home: Home, key: str) -> None:
    home.blobs.path(key).unlink(missing_ok=True)
    home.write(lambda connection: connection.execute("DELETE FROM blobs WHERE key = ?", (key,)).rowcount).result()


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(turns: int) -> Bench:
        bench = Bench(tmp_path, turns)
        made.append(bench)
        with pytest.raises(ModelError):
            bench.ask()
        return bench

    yield make
    for bench in made:
        bench.home.close()


def test_all_snapshots_of_thirty_turns_are_rebuilt_and_nothing_is_asked_again(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(TURNS)
    values, paid = bench.values(), bench.paid
    for key in bench.snapshots():
        remove(bench.home, key)

    bench.script = iter([fenced(READY)])
    with pytest.raises(SnapshotCorrupt, match=r"missing.* No turn of the run is whole\. `rlm resume t --rebuild`"):
        bench.ask(text=None)
    bench.script = iter([fenced(READY)])
    out = bench.ask(REBUILD, None)
    assert out["rlm"]["ready"]
    assert out["rlm"]["content"].startswith("27 ")
    assert bench.paid == (paid[0] + 1, paid[1])
    assert bench.values() == values
    assert bench.values(open_run(bench.run.fork(turn=TURNS), home=bench.home)) == values
    assert bench.run.eval("(n, len(kept))", turn=3).output == "(1, 1)\n"


def test_one_torn_leaf_is_named_with_the_newest_whole_turn(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(5)
    files = [path for path in bench.home.blobs.path("0" * 64).parent.parent.rglob("*") if path.is_file()]
    torn = max(files, key=lambda path: path.stat().st_size)
    os.truncate(torn, torn.stat().st_size - 1)
    with pytest.raises(
        SnapshotCorrupt, match=rf"{torn.name}.*Turn 2 is the newest that is whole: `rlm fork t --turn 2`"
    ):
        bench.run.eval("n")
    assert bench.run.eval("n", turn=2).output == "1\n"
    fork = bench.run.fork(turn=2)
    assert open_run(fork, home=bench.home).eval("found").error is None

    paid, events = bench.paid, []
    bench.script = iter([fenced(READY)])
    for event in bench.agent().stream(None, REBUILD, stream_mode="custom"):
        events.append(event)
    started = next(event for event in events if event["type"] == "run.started")
    assert (started["rebuilt"], started["differs"]) == ([3, 4, 5], [])
    assert bench.paid == (paid[0] + 1, paid[1])


def test_a_forged_snapshot_is_refused_and_rebuilt(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(4)
    turns = [turn.record for turn in bench.run.turns]
    older = bench.home.signatures.snapshot_of(turns[0])
    query = "UPDATE snapshots SET snapshot = ? WHERE turn = ?"
    bench.home.write(lambda connection: connection.execute(query, (older, turns[3].id)).rowcount).result()
    with pytest.raises(SnapshotCorrupt, match=r"turn 4 is forged or swapped.*Turn 3 is the newest"):
        bench.run.value("n")
    bench.script = iter([fenced(READY)])
    assert bench.ask(REBUILD, None)["rlm"]["ready"]
    assert bench.run.value("n", turn=4) == 2


def test_a_lost_key_is_named_and_a_rebuild_signs_with_the_new_one(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(3)
    bench.home.close()
    bench.home.path.with_name("bench.key").unlink()
    with Home(bench.path) as bench.home:
        bench.script = iter([fenced(READY)] * 2)
        with pytest.raises(SnapshotCorrupt, match="give the key that was used"):
            bench.ask(text=None)
        assert bench.ask(REBUILD, None)["rlm"]["ready"]
        assert bench.run.value("n") == 1


def test_a_snapshot_of_another_python_is_refused_before_a_worker_starts(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(3)
    monkeypatch.setattr(snapshots, "PYTHON", "3.99")
    with pytest.raises(StateVersionError, match=r"Python 3\.\d+, and this is Python 3\.99.*--rebuild"):
        bench.run.value("n")


def test_code_that_does_not_do_the_same_twice_is_named(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(4)
    for key in bench.snapshots(after=1) - {bench.run.turns[0].record.snapshot}:
        remove(bench.home, key)
    delete = "DELETE FROM steps WHERE kind = 'slot'"
    bench.home.write(lambda connection: connection.execute(delete).rowcount).result()
    paid = bench.paid
    with pytest.raises(SnapshotCorrupt, match=r"Turn 2 cannot be rebuilt.*3 things.*'look at 0'.*rlm fork t --turn 1"):
        bench.ask(REBUILD, None)
    assert bench.paid == paid
    assert bench.run.value("n", turn=1) == 1


def test_a_rebuild_where_all_is_whole_does_nothing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(3)
    bench.script = iter([fenced(READY)])
    events = list(bench.agent().stream(None, REBUILD, stream_mode="custom"))
    started = next(event for event in events if event["type"] == "run.started")
    assert (started["rebuilt"], started["differs"]) == ([], [])


def test_a_cut_database_is_named(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(4)
    bench.home.close()
    file = bench.path / "home.db"
    os.truncate(file, file.stat().st_size // 2)
    bench.script = iter([fenced(READY)])
    with pytest.raises(SnapshotCorrupt, match=f"{file} cannot be used .*restore it from a copy"):
        bench.ask(text=None)


def test_of_a_damaged_database_the_newest_turn_that_can_be_read_is_named(make_bench: Callable[..., Bench]) -> None:
    """Its last pages are lost; nothing is put in its place."""
    bench = make_bench(12)
    bench.home.close()
    file = bench.path / "home.db"
    size = file.stat().st_size
    with open(file, "r+b") as damaged:
        damaged.seek(size - size // 4)
        damaged.write(b"\xff" * (size // 4))
    before = file.read_bytes()
    bench.script = iter([fenced(READY)])
    with pytest.raises(SnapshotCorrupt, match=r"can still be read in part: thread '\w+' to turn \d+\. Keep the file"):
        bench.ask(text=None)
    assert file.read_bytes() == before
