"""Children on record: they wait for a person, are forked, carried elsewhere, rebuilt and removed with the run.

The child of this run takes two turns, asks sub-agents, and then asks a person: it is unfinished while that waits.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import SystemMessage
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command

from rlm_agent import Home, SnapshotCorrupt, create_rlm_agent, open_run, runs
from rlm_agent.bridge import run_sync
from rlm_agent.recorded.removal import remove_runs
from rlm_agent.recorded.transfer import export_run, import_run
from rlm_agent.testing import ScriptedModel, read_calls

ASKED = {"messages": [("user", "go")]}
TOP = ["x = 1", "got = rlm('help', context='abc')", "answer['content'] = str(got)\nanswer['ready'] = True"]
CHILD = [
    "import random\nluck = random.random()",
    "seen = [str(r) for r in llm_batch([f'{letter} {luck}' for letter in context])]",
    "said = ask_human('Which one?')\nanswer['content'] = [len(seen), said, luck == float(seen[0].split()[-1])]\n"
    "answer['ready'] = True",
]
CALLS = 3 + 3 + 3


def fenced(cells: list[str], messages: list[Any]) -> str:
    return f"```python\n{cells[sum(message.type == 'ai' for message in messages)]}\n```"


class Bench:
    def __init__(self, path: Path) -> None:
        self.path, self.log = path, path / "calls.jsonl"
        self.here, self.there = Home(path / "here"), Home(path / "there")

    def agent(self, home: Home | None = None, sub: Any = None) -> Any:
        def plain(messages: list[Any]) -> str:
            return fenced(CHILD, messages) if isinstance(messages[0], SystemMessage) else str(messages[-1].content)

        home = home or self.here
        return create_rlm_agent(
            ScriptedModel(replies=lambda messages: fenced(TOP, messages), log=self.log, model_name="root"),
            sub_model=ScriptedModel(replies=sub or plain, log=self.log, model_name="sub"),
            home=home,
            checkpointer=home.checkpointer,
            interrupt_on={"ask_human": True},
            max_depth=2,
        )

    def wait(self, thread: str = "t") -> None:
        out = self.agent().invoke(ASKED, config(thread))
        assert [each.value["what"] for each in out["__interrupt__"]] == ["ask_human"]

    def reply(self, thread: str = "t", home: Home | None = None, said: str = "이것") -> Any:
        given = Command(resume={"type": "respond", "message": said})
        return self.agent(home).invoke(given, config(thread))["rlm"]

    @property
    def paid(self) -> int:
        return len(read_calls(self.log, "reply"))


def config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def child_of(thread: str, home: Home) -> Any:
    (child,) = [view for view in runs(thread, home=home) if view.record.parent]
    return child


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.here.close()
    made.there.close()


def test_a_child_that_waits_for_a_person_goes_on_where_it_was(bench: Bench) -> None:
    bench.wait()
    assert bench.paid == CALLS - 1
    assert open_run("t", home=bench.here).waiting[0]["args"]["question"] == "Which one?"
    assert bench.reply()["content"] == '[\n 3,\n "이것",\n true\n]'
    assert bench.paid == CALLS
    assert child_of("t", bench.here).usage["total"]["calls"] == 6


def test_a_fork_that_makes_the_same_call_pays_for_nothing_twice(bench: Bench) -> None:
    bench.wait()
    fork = open_run("t", home=bench.here).fork(turn=1, thread="f")
    out = bench.agent().invoke(None, fork)
    assert [each.value["what"] for each in out["__interrupt__"]] == ["ask_human"]
    assert bench.paid == CALLS - 1
    assert child_of("f", bench.here).usage["total"]["calls"] == 6
    assert bench.reply("f", said="저것")["content"] == '[\n 3,\n "저것",\n true\n]'
    assert bench.paid == CALLS
    assert bench.reply("t")["content"] == '[\n 3,\n "저것",\n true\n]', "one answer to one question"


def test_a_resampled_fork_asks_anew(bench: Bench) -> None:
    bench.wait()
    fork = open_run("t", home=bench.here).fork(turn=1, thread="f", resample=True)
    bench.agent().invoke(None, fork)
    assert bench.paid == 2 * (CALLS - 1) - 1


def test_an_unfinished_child_is_carried_to_another_home(bench: Bench) -> None:
    bench.wait()
    file = bench.path / "run.zip"
    export_run(bench.here, open_run("t", home=bench.here).record, file)
    run_sync(lambda: import_run(bench.there, file, "moved"))
    assert child_of("moved", bench.there).value("luck") == child_of("t", bench.here).value("luck")
    out = bench.agent(bench.there).invoke(None, config("moved"))
    assert [each.value["what"] for each in out["__interrupt__"]] == ["ask_human"]
    assert bench.reply("moved", bench.there)["content"] == '[\n 3,\n "이것",\n true\n]'
    assert bench.paid == CALLS


def test_snapshots_of_a_child_are_rebuilt(bench: Bench) -> None:
    bench.wait()
    for turn in child_of("t", bench.here).turns:
        key = bench.here.write(
            lambda c, id=turn.record.id: c.execute("SELECT snapshot FROM snapshots WHERE turn = ?", (id,)).fetchone()
        ).result()[0]
        bench.here.write(lambda c, key=key: c.execute("DELETE FROM blobs WHERE key = ?", (key,)) and None).result()
    given = Command(resume={"type": "respond", "message": "이것"})
    with pytest.raises(SnapshotCorrupt):
        bench.agent().invoke(given, config("t"))
    rebuild = {"configurable": {"thread_id": "t", "rlm_rebuild": True}}
    assert bench.agent().invoke(given, rebuild)["rlm"]["content"] == '[\n 3,\n "이것",\n true\n]'
    assert bench.paid == CALLS


def test_children_are_removed_with_their_run(bench: Bench) -> None:
    bench.wait()
    run_sync(lambda: remove_runs(bench.here, [open_run("t", home=bench.here).record]))
    left = bench.here.write(lambda c: c.execute("SELECT COUNT(*) FROM runs").fetchone()[0]).result()
    assert left == 0


@pytest.mark.parametrize("when", range(1, 7))
def test_a_drain_stops_a_child_after_any_call_and_it_goes_on_there(bench: Bench, when: int) -> None:
    """The run is told to stop in the middle of a model call of the child: what is on its way is recorded."""
    control, calls = RunControl(), [0]

    def sub(messages: list[Any]) -> str:
        calls[0] += 1
        if calls[0] == when:
            control.request_drain("SIGTERM")
        return fenced(CHILD, messages) if isinstance(messages[0], SystemMessage) else str(messages[-1].content)

    agent = bench.agent(sub=sub)
    with suppress(GraphDrained):
        agent.invoke(ASKED, config("t"), control=control)
    drained = bench.paid
    assert drained == when + 2 if when < 3 else drained <= CALLS - 1
    agent.invoke(None, config("t"))
    assert bench.paid == CALLS - 1
    assert bench.reply()["content"] == '[\n 3,\n "이것",\n true\n]'
    assert bench.paid == CALLS
