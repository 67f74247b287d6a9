"""Forks: a thread that stands where a turn ended, and LangGraph's own time travel. Payments are counted by a log."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from rlm_agent import Budget, ConfigError, ModelError, create_rlm_agent, open_run
from rlm_agent.store.home import default_home
from rlm_agent.testing import ScriptedModel, read_calls

ONE = "```python\nimport random\nn, picks = 1, [random.random()]\n```"
ASK = """```python
found = [str(r) for r in llm_batch([f"look at {i}" for i in range(3)])]
picks.append(random.random())
```"""
MORE = "```python\nn += 1\n```"
READY = '```python\nanswer["content"] = f"{task}/{n}/{len(found)}/{picks}"\nanswer["ready"] = True\n```'
SCRIPT = [ONE, ASK, MORE, READY]
THREAD: Any = {"configurable": {"thread_id": "t"}}


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [("user", text)], **more}


class Bench:
    """Agents over one home; `paid` counts the replies of root and sub-agents together."""

    def __init__(self, path: Path) -> None:
        self.home = default_home(path / "bench")
        self.log = path / "calls.jsonl"
        self.seen: list[list[Any]] = []

    def agent(self, replies: list[Any], **options: Any) -> Any:
        script = iter(replies)

        def root(messages: list[Any]) -> Any:
            self.seen.append(messages)
            reply = next(script, None)
            assert reply is not None, "the root was asked once more than it has replies"
            return reply

        options = {"checkpointer": self.home.checkpointer, **options}
        return create_rlm_agent(
            ScriptedModel(replies=root, log=self.log, model_name="root"),
            sub_model=ScriptedModel(replies=lambda m: f"re {m[-1].content}", log=self.log, model_name="sub"),
            home=self.home,
            **options,
        )

    @property
    def paid(self) -> int:
        return len(read_calls(self.log, "reply"))

    def costs(self, work: Callable[[], Any]) -> tuple[Any, int]:
        before = self.paid
        return work(), self.paid - before

    def run(self, thread: Any = "t") -> Any:
        return open_run(thread, home=self.home)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.home.close()


@pytest.fixture
def done(bench: Bench) -> dict[str, Any]:
    """The output of an answered question of four turns: four root replies and three sub-calls."""
    out: dict[str, Any] = bench.agent(SCRIPT).invoke(asked("q", context="abc"), THREAD)
    assert bench.paid == 7
    return out


def content(out: dict[str, Any]) -> Any:
    return out["rlm"]["content"]


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_an_unchanged_fork_replays_for_free(bench: Bench, done: Any, turn: int) -> None:
    config = bench.run().fork(turn=turn)
    assert [t.number for t in bench.run(config).turns] == list(range(1, turn + 1))
    out, paid = bench.costs(lambda: bench.agent([]).invoke(None, config))
    assert (content(out), paid) == (content(done), 0)
    fork, origin = bench.run(config), bench.run()
    assert [t.record.id for t in fork.turns][:turn] == [t.record.id for t in origin.turns][:turn], "shared, not copied"
    assert [t.record.lineage for t in fork.turns] == [t.record.lineage for t in origin.turns]
    assert [t.record.snapshot for t in fork.turns] == [t.record.snapshot for t in origin.turns]
    assert [m.content for m in out["messages"]] == ["q", content(done)]


def test_the_origin_is_not_touched(bench: Bench, done: Any) -> None:
    before = [t.record for t in bench.run().turns]
    config = bench.run().fork(turn=2, code="n = 100")
    bench.agent([READY]).invoke(None, config)
    assert [t.record for t in bench.run().turns] == before
    out, paid = bench.costs(lambda: bench.agent([]).invoke(None, THREAD))
    assert (content(out), paid) == (content(done), 0)


def test_usage_and_budget_begin_with_those_of_the_turn(bench: Bench, done: Any) -> None:
    fork = bench.run(bench.run().fork(turn=2))
    assert fork.usage["root"]["calls"] == 2
    assert fork.usage["sub"]["calls"] == 3
    assert fork.usage["seconds"] > 0
    out = bench.agent([], budget=Budget(turns=3)).invoke(None, {"configurable": {"thread_id": fork.record.thread}})
    assert (out["rlm"]["stopped_by"], out["rlm"]["turns"]) == ("ready", 4), "what is recorded is not bounded"
    assert out["rlm"]["usage"]["total"]["calls"] == 5
    other = bench.run().fork(turn=2, resample=True)
    out, paid = bench.costs(lambda: bench.agent([MORE], budget=Budget(turns=3)).invoke(None, other))
    assert (out["rlm"]["stopped_by"], out["rlm"]["turns"], paid) == ("turns", 3, 1)
    third = bench.run().fork(turn=2, code='llm_batch(["a", "b"])')
    bench.agent([READY], budget=Budget(sub_calls=4)).invoke(None, third)
    assert "1 of 4 are left" in (bench.run(third).turns[2].error or "")


def test_code_runs_instead_of_the_roots_reply(bench: Bench, done: Any) -> None:
    code = 'n = 10\nfence = """\n```\n"""'
    config = bench.run().fork(turn=2, code=code)
    out, paid = bench.costs(lambda: bench.agent([READY]).invoke(None, config))
    assert (content(out).split("/")[1], paid) == ("10", 1)
    turn = bench.run(config).turns[2]
    assert (turn.code.strip(), turn.usage["total"]["calls"]) == (code, 0)
    assert bench.run(config).value("fence") == "\n```\n"


def test_a_message_is_read_with_the_next_reply(bench: Bench, done: Any) -> None:
    config = bench.run().fork(turn=2, message="세어 보세요")
    told = "```python\nn += 10\n```"
    out, paid = bench.costs(lambda: bench.agent([told, READY]).invoke(None, config))
    assert paid == 2
    assert "세어 보세요" in bench.seen[-2][-1].content
    assert content(out).startswith("q/11/")
    second = bench.run(config).fork(turn=2)
    again, paid = bench.costs(lambda: bench.agent([]).invoke(None, second))
    assert (content(again), paid) == (content(out), 0), "the fork of a fork reads the note again"
    third = bench.run(bench.run(second).fork(turn=4))
    for run in (bench.run(second), third):
        assert [(note.text, note.turn) for note in bench.home.notes.list(run.id)] == [("세어 보세요", 3)]


def test_code_and_message_together(bench: Bench, done: Any) -> None:
    config = bench.run().fork(turn=2, code="n = 5", message="look")
    out, paid = bench.costs(lambda: bench.agent([READY]).invoke(None, config))
    assert (content(out).split("/")[1], paid) == ("5", 1)
    assert "look" in bench.seen[-1][-1].content, "the root reads it with its first reply"


def test_resample_asks_for_everything_anew(bench: Bench, done: Any) -> None:
    config = bench.run().fork(turn=1, resample=True)
    other = "```python\nn += 20\n```"
    out, paid = bench.costs(lambda: bench.agent([ASK, other, READY]).invoke(None, config))
    assert (content(out).startswith("q/21/"), paid) == (True, 6)
    again, paid = bench.costs(lambda: bench.agent([]).invoke(None, bench.run(config).fork(turn=2)))
    assert (content(again), paid) == (content(out), 0), "its own fork replays its own replies"
    again, paid = bench.costs(lambda: bench.agent([]).invoke(None, bench.run(config).fork(turn=1)))
    assert (content(again), paid) == (content(out), 0)


def test_a_fork_at_a_ready_turn_goes_on(bench: Bench, done: Any) -> None:
    config = bench.run().fork(turn=4)
    fork = bench.run(config)
    assert (fork.status, fork.answer.content, fork.answer.ready) == ("open", content(done), False)
    out, paid = bench.costs(lambda: bench.agent([MORE, READY]).invoke(None, config))
    assert (content(out).split("/")[1], out["rlm"]["turns"], paid) == ("3", 6, 2)
    anew = bench.run().fork(turn=4, resample=True)
    kept = bench.agent([], budget=Budget(turns=4)).invoke(None, anew)
    assert (content(kept), kept["rlm"]["ready"], kept["rlm"]["stopped_by"]) == (content(done), False, "turns")


def test_a_fork_of_a_fork_and_a_next_question(bench: Bench, done: Any) -> None:
    first = bench.run().fork(turn=3, code="n = 7")
    bench.agent([READY]).invoke(None, first)
    second = bench.run(first).fork(turn=5, code="n += 1")
    out = bench.agent([READY]).invoke(None, second)
    assert content(out).split("/")[1] == "8"
    assert bench.run(second).usage["root"]["calls"] == 3 + 1 + 1, "code is not paid for"
    out = bench.agent([MORE, READY]).invoke(asked("next"), second)
    assert content(out).startswith("next/9/")
    run = bench.run(second)
    assert [t.number for t in run.turns] == list(range(1, 10))
    assert [q.number for q in run.questions] == [1, 2]
    assert out["rlm"]["turns"] == 2


def test_an_older_question_goes_on_with_its_conversation(bench: Bench, done: Any) -> None:
    bench.agent([MORE, READY]).invoke(asked("second"), THREAD)
    bench.agent([MORE, READY]).invoke(asked("third"), THREAD)
    config = bench.run().fork(turn=5)
    assert [q.number for q in bench.run(config).questions] == [1, 2]
    out, paid = bench.costs(lambda: bench.agent([]).invoke(None, config))
    assert content(out).startswith("second/3/")
    assert ([m.content for m in out["messages"]], paid) == (["q", content(done), "second", content(out)], 0)
    out = bench.agent([READY]).invoke(asked("other third"), config)
    assert content(out).startswith("other third/3/")


def test_an_unfinished_fork_is_resumed(bench: Bench, done: Any) -> None:
    config = bench.run().fork(turn=2, code="n = 50")
    with pytest.raises(ModelError):
        bench.agent([ConnectionError("down")]).invoke(None, config)
    out, paid = bench.costs(lambda: bench.agent([READY], checkpointer=None).invoke(None, config))
    assert (content(out).split("/")[1], paid) == ("50", 1)


def test_forks_of_a_living_run(bench: Bench) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(_: Any) -> str:
        begun.set()
        assert go_on.wait(30)
        return READY

    script = iter([ONE, ASK])
    root = ScriptedModel(replies=lambda m: next(script, None) or wait(m), log=bench.log)
    agent = bench.agent([])
    living = create_rlm_agent(root, sub_model=agent.spec.sub, home=bench.home, checkpointer=bench.home.checkpointer)
    worked: list[Any] = []
    thread = threading.Thread(target=lambda: worked.append(living.invoke(asked("q"), THREAD)))
    thread.start()
    try:
        assert begun.wait(30)
        config = bench.run().fork(turn=2, code="n = 'forked'")
        assert "forked" in content(bench.agent([READY]).invoke(None, config))
    finally:
        go_on.set()
        thread.join()
    assert content(worked[0]).startswith("q/1/3/")


def blobs(bench: Bench) -> tuple[int, int]:
    """How many blobs the home holds, small and large, and their bytes."""
    query = "SELECT COUNT(*), SUM(LENGTH(data)) FROM blobs"
    count, size = bench.home.write(lambda db: db.execute(query).fetchone()).result()
    sizes = [path.stat().st_size for path in (bench.home.path / "blobs").rglob("*") if path.is_file()]
    return count + len(sizes), size + sum(sizes)


def test_a_fork_shares_all_blobs_and_adds_only_what_is_new(bench: Bench) -> None:
    big = "```python\nimport random\nbig, n, found, picks = random.Random(1).randbytes(300_000), 1, [], []\n```"
    bench.agent([big, MORE, READY]).invoke(asked("q"), THREAD)
    before = blobs(bench)
    assert before[1] > 300_000
    config = bench.run().fork(turn=2)
    assert blobs(bench) == before
    bench.agent([]).invoke(None, config)
    assert blobs(bench) == before, "turns that are replayed have the blobs that are there"
    changed = bench.run().fork(turn=2, code="n = 77")
    bench.agent([READY]).invoke(None, changed)
    added = blobs(bench)[1] - before[1]
    assert 0 < added < 50_000
    assert len(bench.run(changed).value("big", as_="bytes")) == 300_000


def test_a_fork_while_the_cell_waits_in_a_batch(bench: Bench) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def sub(messages: list[Any]) -> str:
        begun.set()
        assert go_on.wait(60)
        return f"re {messages[-1].content}"

    script = iter(SCRIPT)
    living = create_rlm_agent(
        ScriptedModel(replies=lambda _: next(script), log=bench.log),
        sub_model=ScriptedModel(replies=sub, log=bench.log),
        home=bench.home,
        checkpointer=bench.home.checkpointer,
    )
    worked: list[Any] = []
    thread = threading.Thread(target=lambda: worked.append(living.invoke(asked("q"), THREAD)))
    thread.start()
    try:
        assert begun.wait(60)
        run = bench.run()
        assert run.head is not None
        assert run.head.number == 1
        assert run.eval("picks.clear()\nn").output == "1\n"
        config = run.fork(turn=1, code="n, found = 'forked', [1, 2, 3]")
        assert content(bench.agent([READY]).invoke(None, config)).startswith("q/forked/3/")
    finally:
        go_on.set()
        thread.join(60)
    assert content(worked[0]).startswith("q/2/3/["), "n is 2, three were found"
    assert len(bench.run().value("picks")) == 2, "the cell that waited has its own list"
    assert [turn.record.id for turn in bench.run(config).turns][:1] == [bench.run().turns[0].record.id]


class Host(TypedDict, total=False):
    messages: list[Any]
    rlm: dict[str, Any]


@pytest.mark.parametrize("saver", [None, True], ids=["a run a visit", "one run"])
def test_a_fork_of_an_embedded_run(bench: Bench, saver: Any) -> None:
    parent = StateGraph(Host)
    parent.add_node("research", bench.agent(SCRIPT, checkpointer=saver, input_key=None))
    parent.add_edge(START, "research")
    parent.add_edge("research", END)
    out = parent.compile(checkpointer=InMemorySaver()).invoke(asked("q"), THREAD)
    assert bench.run().record.path.startswith("research")
    config = bench.run().fork(turn=2, thread="branch")
    assert config == {"configurable": {"thread_id": "branch"}}
    again, paid = bench.costs(lambda: bench.agent([]).invoke(None, config))
    assert (content(again), paid) == (content(out), 0)


def test_a_fork_from_inside_a_running_loop(bench: Bench, done: Any) -> None:
    async def work() -> Any:
        config = open_run("t", home=bench.home).fork(turn=3)
        return await bench.agent([]).ainvoke(None, config)

    assert content(asyncio.run(work())) == content(done)


def test_what_cannot_be_forked_says_so(bench: Bench, done: Any) -> None:
    run = bench.run()
    with pytest.raises(ConfigError, match=r"no turn 9: its turns are 1 to 4"):
        run.fork(turn=9)
    with pytest.raises(ConfigError, match="Thread 't' has a run already"):
        run.fork(turn=1, thread="t")
    with pytest.raises(ConfigError, match="code is empty"):
        run.fork(turn=1, code=" ")
    with pytest.raises(ConfigError, match="message is empty"):
        run.fork(turn=1, message="")
    assert len(bench.home.runs.list()) == 1


# --- LangGraph's time travel


@pytest.fixture(params=["memory", "sqlite", "home"])
def saver(request: pytest.FixtureRequest, bench: Bench, tmp_path: Path) -> Iterator[Any]:
    if request.param == "sqlite":
        with SqliteSaver.from_conn_string(str(tmp_path / "saver.db")) as made:
            yield made
    else:
        yield InMemorySaver() if request.param == "memory" else bench.home.checkpointer


def test_every_checkpoint_is_a_legal_place_to_go_on_from(bench: Bench, saver: Any) -> None:
    agent = bench.agent(SCRIPT, checkpointer=saver)
    out = agent.invoke(asked("q", context="abc"), THREAD)
    history = list(agent.get_state_history(THREAD))
    assert len(history) >= 10
    for snapshot in history:
        again, paid = bench.costs(lambda s=snapshot: agent.invoke(None, s.config))
        assert paid == 0, snapshot.next
        assert again["rlm"]["content"] == content(out), snapshot.next
    run = bench.run()
    assert ([t.number for t in run.turns], len(run.questions), run.answer.ready) == ([1, 2, 3, 4], 1, True)
    assert content(bench.agent([], checkpointer=saver).invoke(None, THREAD)) == content(out)


def test_checkpoints_of_a_resumed_thread_and_of_a_fork_are_legal_places_too(bench: Bench, saver: Any) -> None:
    with pytest.raises(ModelError):
        bench.agent([ONE, ASK, ConnectionError("down")], checkpointer=saver).invoke(asked("q"), THREAD)
    agent = bench.agent([MORE, READY], checkpointer=saver)
    out = agent.invoke(None, THREAD)
    agent.invoke(None, THREAD)
    config = bench.run().fork(turn=2)
    agent.invoke(None, config)
    for thread in (THREAD, config):
        for snapshot in list(agent.get_state_history(thread)):
            again, paid = bench.costs(lambda s=snapshot: agent.invoke(None, s.config))
            assert (content(again), paid) == (content(out), 0), snapshot.next
        assert len(bench.run(thread).questions) == 1


def test_an_older_checkpoint_brings_the_older_variables(bench: Bench, saver: Any) -> None:
    agent = bench.agent([*SCRIPT, MORE, READY, MORE, READY, MORE, READY], checkpointer=saver)
    first = agent.invoke(asked("q", context="abc"), THREAD)
    at_first = next(s for s in agent.get_state_history(THREAD) if not s.next)
    second = agent.invoke(asked("second"), THREAD)
    assert content(second).startswith("second/3/")
    branch = agent.invoke(asked("other"), at_first.config)
    assert content(branch).startswith("other/3/"), "n is what it was at the end of the first question"
    assert content(agent.invoke(asked("next"), THREAD)).startswith("next/4/"), "the thread goes on from the branch"
    run = bench.run()
    assert [t.number for t in run.turns] == list(range(1, 9))
    assert [q.number for q in run.questions] == [1, 2, 3, 4]
    again, paid = bench.costs(lambda: agent.invoke(None, at_first.config))
    assert (content(again), paid) == (content(first), 0)


def test_the_run_stands_where_the_journey_ended(bench: Bench, saver: Any) -> None:
    agent = bench.agent([*SCRIPT, MORE, READY, READY, READY], checkpointer=saver)
    agent.invoke(asked("q", context="abc"), THREAD)
    history = list(agent.get_state_history(THREAD))
    agent.invoke(asked("second"), THREAD)
    at_finish = next(s for s in history if s.next == ("finish",))
    agent.invoke(None, at_finish.config)
    run = bench.run()
    assert (run.question.number, run.head.number, run.status) == (1, 4, "answered")
    assert run.answer.content.startswith("q/2/")
    assert [event["question"] for event in run.events() if event["type"] == "run.started"] == [1]
    at_turn_2 = next(s for s in history if s.next == ("generate_code",))
    assert content(agent.invoke(asked("second"), at_turn_2.config)).startswith("second/2/"), "asked at another turn"
    assert [q.number for q in bench.run().questions] == [1, 2, 3]


def test_a_journey_that_broke_off_is_gone_on_with(bench: Bench, saver: Any) -> None:
    agent = bench.agent([*SCRIPT, MORE, READY], checkpointer=saver)
    agent.invoke(asked("q", context="abc"), THREAD)
    at_turn_2 = next(s for s in agent.get_state_history(THREAD) if s.next == ("generate_code",) and len(s.values))
    agent.invoke(asked("second"), THREAD)
    failing = bench.agent([ConnectionError("down")], checkpointer=saver)
    with pytest.raises(ModelError):
        failing.invoke(asked("third"), at_turn_2.config)
    out, paid = bench.costs(lambda: bench.agent([READY], checkpointer=saver).invoke(None, THREAD))
    assert paid == 1
    assert content(out).startswith("third/")
