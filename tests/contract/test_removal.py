"""Removed runs: nothing of them stays but what their forks need, and nobody's work is taken from under them."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pseudo_terminal
import pytest

from rlm_agent import ConfigError, LeaseHeld, ModelError, create_rlm_agent, open_run, runs
from rlm_agent.cli.main import main
from rlm_agent.keys import place
from rlm_agent.store.home import Home, default_home
from rlm_agent.testing import ScriptedModel, read_calls

ONE = "```python\nn, big = 1, np.arange(40_000)\nprint('가' * 9_000)\n```"
ASK = "```python\nfound = [str(r) for r in llm_batch([f'look at {i}' for i in range(3)])]\n```"
MORE = "```python\nn += 1\n```"
READY = '```python\nanswer["content"] = f"{task}/{n}/{len(found)}"\nanswer["ready"] = True\n```'
SCRIPT = [ONE, ASK, MORE, READY]
TABLES = ("runs", "questions", "turns", "refs", "steps", "notes", "adopted_notes", "extensions", "snapshots")


class Bench:
    def __init__(self, path: Path) -> None:
        self.home = default_home(path / "bench")
        self.log = path / "calls.jsonl"

    def agent(self, replies: list[Any], **options: Any) -> Any:
        script = iter(replies)

        def root(messages: list[Any]) -> Any:
            reply = next(script, None)
            assert reply is not None, "the root was asked once more than it has replies"
            return reply

        options = {"checkpointer": self.home.checkpointer, **options}
        sub = ScriptedModel(replies=lambda m: f"re {m[-1].content}", log=self.log)
        return create_rlm_agent(ScriptedModel(replies=root, log=self.log), sub_model=sub, home=self.home, **options)

    def ask(self, replies: list[Any], thread: str, **options: Any) -> Any:
        given = {"messages": [("user", "q")], "context": "abc"}
        return self.agent(replies, **options).invoke(given, {"configurable": {"thread_id": thread}})["rlm"]

    def run(self, thread: Any) -> Any:
        return open_run(thread, home=self.home)

    def rows(self, *tables: str) -> dict[str, int]:
        """How many rows the tables have, without those that have none."""

        def count(connection: Any) -> dict[str, int]:
            counts = {t: connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in tables}
            return {table: n for table, n in counts.items() if n}

        return self.home.write(count).result()

    @property
    def paid(self) -> int:
        return len(read_calls(self.log, "reply"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.home.close()


def test_nothing_stays_of_a_run_that_nobody_forked(bench: Bench) -> None:
    bench.ask(SCRIPT, "t")
    run = bench.run("t")
    run.tell("읽어 보세요")
    run.extend(usd=1)
    assert bench.home.checkpointer.get_tuple({"configurable": {"thread_id": "t"}}) is not None
    run.delete()
    assert bench.rows(*TABLES) == {}
    assert bench.home.checkpointer.get_tuple({"configurable": {"thread_id": "t"}}) is None
    assert runs(home=bench.home) == []
    bench.home.sweeper.sweep(grace=0)
    assert bench.rows("blobs") == {}
    assert [file for folder in ("blobs", "corpora", "tmp") for file in (bench.home.path / folder).rglob("*/*")] == []
    assert bench.ask(SCRIPT, "t")["turns"] == 4, "the thread is free for a new run"
    assert bench.paid == 14


def test_other_runs_are_not_touched(bench: Bench) -> None:
    bench.ask(SCRIPT, "other")
    bench.home.sweeper.sweep(grace=0)
    before = bench.rows(*TABLES, "blobs")
    content = [turn.output for turn in bench.run("other").turns]
    bench.ask(SCRIPT, "t")
    bench.run("t").delete()
    bench.home.sweeper.sweep(grace=0)
    assert bench.rows(*TABLES, "blobs") == before
    assert [turn.output for turn in bench.run("other").turns] == content
    assert bench.run("other").value("n") == 2


@pytest.mark.parametrize("turn", [1, 2])
def test_a_fork_keeps_all_that_it_had(bench: Bench, turn: int) -> None:
    bench.ask(SCRIPT, "t")
    bench.run("t").tell("읽어 보세요")
    config = bench.run("t").fork(turn, code=f"n = 10\nfound = found if {turn} > 1 else []")
    bench.agent([READY]).invoke(None, config)
    fork = bench.run(config)
    before = (fork.usage, fork.events(), [t.output for t in fork.turns], fork.answer, [t.record for t in fork.turns])
    bench.run("t").delete()
    bench.home.sweeper.sweep(grace=0)
    fork = bench.run(config)
    after = (fork.usage, fork.events(), [t.output for t in fork.turns], fork.answer, [t.record for t in fork.turns])
    assert after == before
    assert [fork.value("n", turn=number) for number in range(1, turn + 2)] == [*[1] * turn, 10]
    assert [run.id for run in runs(home=bench.home)] == [fork.id]
    with pytest.raises(ConfigError):
        bench.run("t")
    paid = bench.paid
    out = bench.agent([]).invoke(None, fork.fork(turn))["rlm"]
    assert (out["content"], bench.paid) == (fork.answer.content, paid), "a fork of the fork, unchanged"


def test_a_fork_that_took_recorded_replies_can_be_rebuilt_afterwards(bench: Bench) -> None:
    bench.ask(SCRIPT, "t")
    config = bench.run("t").fork(1)
    paid = bench.paid
    bench.agent([]).invoke(None, config)
    bench.run("t").delete()
    bench.home.sweeper.sweep(grace=0)
    fork = bench.run(config)
    variables = {name: fork.value(name) for name in ("n", "found")}
    for record in (turn.record for turn in fork.turns):
        bench.home.write(
            lambda c, id=record.id: (
                c.execute(
                    "DELETE FROM blobs WHERE key = (SELECT snapshot FROM snapshots WHERE turn = ?)", (id,)
                ).rowcount
            )
        ).result()
    rebuild = {"configurable": {**config["configurable"], "rlm_rebuild": True}}
    bench.agent([]).invoke(None, rebuild)
    assert {name: bench.run(config).value(name) for name in ("n", "found")} == variables
    assert bench.paid == paid


def test_what_is_left_goes_with_the_last_fork(bench: Bench) -> None:
    bench.ask(SCRIPT, "t")
    first = bench.run("t").fork(3)
    second = bench.run(first).fork(2, message="다르게")
    for config in ("t", first, second):
        assert bench.rows("turns")
        bench.run(config).delete()
    assert bench.rows(*TABLES) == {}
    bench.home.sweeper.sweep(grace=0)
    assert bench.rows("blobs") == {}


def test_a_fork_of_a_fork_keeps_the_first_run(bench: Bench) -> None:
    bench.ask(SCRIPT, "t")
    first = bench.run("t").fork(2, code="n = 5")
    bench.agent([READY]).invoke(None, first)
    second = bench.run(first).fork(3)
    for config in (first, "t"):
        bench.run(config).delete()
    bench.home.sweeper.sweep(grace=0)
    left = bench.run(second)
    assert [left.value("n", turn=n) for n in (1, 2, 3)] == [1, 1, 5]
    assert left.usage["total"]["calls"] == 5
    out = bench.agent([READY]).invoke(None, second)["rlm"]
    assert out["content"] == "q/5/3"


def test_a_state_of_a_host_that_names_a_removed_run_is_refused(bench: Bench) -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    saver = InMemorySaver()
    bench.ask(SCRIPT, "t", checkpointer=saver)
    agent = bench.agent([], checkpointer=saver)
    middle = next(
        s for s in agent.get_state_history({"configurable": {"thread_id": "t"}}) if s.next == ("execute_repl",)
    )
    bench.run("t").fork(1)
    bench.run("t").delete()
    with pytest.raises(ConfigError, match="was removed"):
        agent.invoke(None, middle.config)


async def test_an_owned_run_is_not_removed(bench: Bench) -> None:
    with pytest.raises(ModelError):
        bench.ask([ONE, ConnectionError("down")], "t")
    before = bench.rows(*TABLES)
    async with await bench.home.leases.acquire(place("t", "", "rlm")):
        with pytest.raises(LeaseHeld, match=rf"Thread 't' is being worked on.*process {os.getpid()} on"):
            bench.run("t").delete()
    assert bench.rows(*TABLES) == before
    bench.run("t").delete()
    assert bench.rows(*TABLES) == {}


async def test_who_owned_a_removed_run_can_write_nothing_more(bench: Bench) -> None:
    from rlm_agent.errors import LeaseLost

    bench.ask(SCRIPT, "t")
    stale = await bench.home.leases.acquire(place("t", "", "rlm"))
    await bench.home.commit(lambda c: c.execute("UPDATE leases SET expires = 0").rowcount)
    bench.run("t").delete()
    bench.ask(SCRIPT, "t")
    async with await bench.home.leases.acquire(place("t", "", "rlm")):
        with pytest.raises(LeaseLost):
            await bench.home.commit(lambda c: None, fence=stale.fence)


# The command


@pytest.fixture
def rlm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rlm", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


def test_the_command_needs_a_yes(bench: Bench, rlm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ask(SCRIPT, "t 1")
    bench.ask([ONE, ASK, MORE, READY], "t 1", name="other")
    home = ("--home", str(bench.home.path))
    code, out, err = rlm("rm", "t 1", *home)
    assert (code, out) == (2, "")
    assert "rlm rm 't 1' --yes" in err
    assert len(runs("t 1", home=bench.home)) == 2
    code, out, err = rlm("rm", "t 1", "--name", "other", "--yes", *home)
    assert (code, out, err) == (0, "", "removed 1 run of thread t 1; `rlm gc` frees the space\n")
    assert [run.record.name for run in runs("t 1", home=bench.home)] == ["rlm"]
    assert bench.home.checkpointer.get_tuple({"configurable": {"thread_id": "t 1"}}) is not None
    assert rlm("rm", "t 1", "-y", *home)[0] == 0
    code, _, err = rlm("rm", "t 1", "--yes", *home)
    assert code == 2
    assert "holds no run of thread 't 1'" in err


def test_the_start_of_a_thread_goes_with_it(rlm: Any, own_home: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one word\n")
    text = str(tmp_path / "text.txt")
    assert rlm("run", "Which word is here?", "--context", text, "--model", "offline", "--thread", "s")[0] == 0
    assert len(list((own_home / "cli").iterdir())) == 1
    assert rlm("rm", "s", "--yes")[0] == 0
    assert list((own_home / "cli").iterdir()) == []


@pytest.mark.parametrize(("reply", "code", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_a_person_is_asked(bench: Bench, reply: str, code: int, left: int) -> None:
    bench.ask(SCRIPT, "t")
    bench.home.close()
    command = [sys.executable, "-m", "rlm_agent.cli.main", "rm", "t", "--home", str(bench.home.path)]
    with pseudo_terminal.terminal(command, dict(os.environ)) as shown:
        shown.read_until("Remove it for good")
        assert "4 turns, answered: q" in shown.screen
        shown.type(f"{reply}\n".encode())
        assert shown.wait() == code
    assert len(runs("t", home=Home(bench.home.path))) == left
