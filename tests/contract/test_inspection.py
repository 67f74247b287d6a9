"""Looking at runs, finished, living or killed: variables, values, code on a copy, events, notes, bounds raised."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from rlm_agent import Budget, ConfigError, ModelError, create_rlm_agent, open_run, runs
from rlm_agent.store.home import Home, default_home
from rlm_agent.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "t"}}
MAKE = """```python
import datetime, decimal, threading
import numpy as np
words = context.split()
한글 = {"이름": "철수", "점수": [1, 2.5, None]}
table = np.arange(6).reshape(2, 3)
raw = b"\\x00\\xff"
big = "x" * 200_000
lock = threading.Lock()
class Case:
    def __init__(self): self.number = 7
    def __str__(self): return f"case {self.number}"
case = Case()
mixed = {"t": (1, {2}), "d": datetime.date(2026, 1, 2), "n": np.int64(3), "p": decimal.Decimal("1.50")}
halves = {"kept": 1, "gone": (i for i in words)}
print("made")
```"""
CHANGE = '```python\nfound = llm_batch(["one", "two"])\nwords.append(str(found[0]))\nwords[-1]\n```'
READY = '```python\nanswer["content"] = words\nanswer["ready"] = True\n```'
FAIL = "```python\nprint('before')\n1 / 0\n```"


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [("user", text)], **more}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = default_home(tmp_path / "inspected")
    yield made
    made.close()


def agent(home: Home, replies: Any, **options: Any) -> Any:
    sub = ScriptedModel(replies=lambda messages: f"re {messages[-1].content}")
    return create_rlm_agent(
        ScriptedModel(replies=replies), sub_model=sub, home=home, checkpointer=home.checkpointer, **options
    )


@pytest.fixture
def done(home: Home) -> Any:
    """The view of an answered run of three turns."""
    agent(home, [MAKE, CHANGE, READY]).invoke(asked("q", context="alpha beta"), THREAD)
    return open_run(THREAD, home=home)


# --- variables and values


def test_variables_are_listed_as_of_each_turn(done: Any) -> None:
    listed = {variable.name: variable for variable in done.variables()}
    assert listed["words"].preview == "['alpha', 'beta', 're one']"
    assert (listed["table"].type, listed["table"].shape, listed["table"].size_bytes) == ("numpy.ndarray", (2, 3), 48)
    assert (listed["lock"].lost, listed["big"].lost) == (True, False)
    assert listed["big"].size_bytes >= 200_000
    assert {v.name: v.preview for v in done.variables(turn=1)}["words"] == "['alpha', 'beta']"
    assert "found" not in {variable.name for variable in done.turns[0].variables}


def test_listing_starts_no_worker(done: Any, home: Home) -> None:
    code = """
import os, sys
from rlm_agent import open_run
names = [v.name for v in open_run("t", home=sys.argv[1]).variables()]
children = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()
assert not children, children
assert not {"langgraph", "langchain_core", "numpy"} & set(sys.modules), "and loads none of what a run needs"
print(len(names))
"""
    ended = subprocess.run([sys.executable, "-c", code, str(home.path)], capture_output=True, text=True, check=False)
    assert (ended.returncode, int(ended.stdout or 0) > 10) == (0, True), ended.stderr


def test_values_are_plain_data(done: Any) -> None:
    assert done.value("words") == ["alpha", "beta", "re one"]
    assert done.value("words", turn=1) == ["alpha", "beta"]
    assert done.value("한글") == {"이름": "철수", "점수": [1, 2.5, None]}
    assert done.value("mixed") == {"t": [1, [2]], "d": "2026-01-02", "n": 3, "p": "1.50"}
    assert done.value("table") == [[0, 1, 2], [3, 4, 5]]
    assert done.value("found") == ["re one", "re two"]
    assert done.value("case", as_="text") == "case 7"
    assert done.value("raw", as_="bytes") == b"\x00\xff"
    assert done.value("big", as_="bytes") == b"x" * 200_000
    assert done.value("table", as_="bytes") == numpy.arange(6).tobytes()


def test_an_array_comes_back_as_one(done: Any) -> None:
    array = done.value("table", as_="npy")
    assert array.dtype == numpy.int64
    assert (array == numpy.arange(6).reshape(2, 3)).all()


def test_what_the_host_binds_has_a_value_too(done: Any) -> None:
    assert done.value("context") == "alpha beta"
    assert done.value("task", as_="text") == "q"
    assert done.value("answer", turn=2) == {"content": "", "ready": False}
    assert [entry["turn"] for entry in done.value("history", turn=2)] == [1, 2]


def test_a_value_of_many_megabytes(home: Home) -> None:
    agent(home, ["```python\nimport numpy as np\na = np.zeros(9_000_000)\n```", READY.replace("words", "'ok'")]).invoke(
        asked("q"), THREAD
    )
    assert open_run(THREAD, home=home).value("a", as_="npy").nbytes == 72_000_000


@pytest.mark.parametrize(
    ("name", "form", "message"),
    [
        ("wrods", "json", "no variable 'wrods': is it 'words'"),
        ("zzzzzzzz", "json", "no variable 'zzzzzzzz': is it 'answer' or"),
        ("lock", "json", "'lock' cannot be given as 'json': this _thread.lock is lost: it lives only in the process"),
        ("halves", "json", "cannot be given as 'json': .*lost"),
        ("case", "json", "it cannot be JSON .a Case is in it.; ask for as_='text'"),
        ("case", "bytes", "a Case has no bytes of its own"),
        ("case", "npy", "it is no array of numbers or text"),
        ("words", "yaml", "as_='yaml': give one of 'json', 'text', 'npy', 'bytes'"),
    ],
)
def test_what_cannot_be_given_says_why(done: Any, name: str, form: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        done.value(name, as_=form)


def test_a_turn_that_is_not_there_is_named(done: Any) -> None:
    for look in (lambda: done.variables(7), lambda: done.value("words", turn=7), lambda: done.eval("1", turn=0)):
        with pytest.raises(ConfigError, match=r"no turn .: its turns are 1 to 3"):
            look()


# --- code on a copy


def test_code_runs_on_a_throw_away_copy(done: Any) -> None:
    assert done.eval("words.clear()\nlen(words), task, len(history), context").output == "(0, 'q', 3, 'alpha beta')\n"
    assert done.eval("len(words)").output == "3\n"
    assert done.eval("len(words)", turn=1).output == "2\n"
    failed = done.eval("print('so far')\n1 / 0")
    assert failed.output == "so far\n"
    assert failed.error.endswith("ZeroDivisionError: division by zero")


def test_a_copy_can_be_worked_with(done: Any) -> None:
    with done.copy(turn=1) as copy:
        copy.eval("words.append('more')\nnew = len(words)")
        assert copy.eval("new").output == "3\n"
    assert done.value("words", turn=1) == ["alpha", "beta"]


def test_an_eval_is_interrupted_and_keeps_its_variables(done: Any) -> None:
    with done.copy() as copy:
        copy.interrupt()
        copy.eval("mine = 1")
        timer = threading.Timer(0.5, copy.interrupt)
        timer.start()
        stopped = copy.eval("while True: pass")
        timer.join()
        assert "stopped by an interrupt" in (stopped.error or "")
        assert copy.eval("mine").output == "1\n"


def test_a_copy_whose_worker_died_begins_anew_and_says_so(done: Any) -> None:
    with done.copy() as copy:
        copy.eval("mine = 1")
        died = copy.eval("import os\nos._exit(3)")
        assert "this copy begins anew, and what was tried in it is gone" in (died.error or "")
        assert copy.eval("'mine' in globals(), len(words)").output == "(False, 3)\n"


def test_a_copy_pays_for_nothing(done: Any, home: Home) -> None:
    before = home.ledger.count(done.id)
    assert "makes no sub-calls, and pays for nothing" in (done.eval("llm('a')").error or "")
    assert done.eval("try:\n    llm_batch(['a'])\nexcept Exception as e:\n    print('refused')").output == "refused\n"
    assert home.ledger.count(done.id) == before


def test_a_run_without_turns_can_be_tried_out(home: Home) -> None:
    with pytest.raises(ModelError):
        agent(home, [ConnectionError("down")]).invoke(asked("q", context="abc"), THREAD)
    run = open_run(THREAD, home=home)
    assert run.variables() == []
    assert run.eval("context + task").output == "'abcq'\n"
    with pytest.raises(ConfigError, match="Before the first turn there is no variable 'x'"):
        run.value("x")


async def test_all_of_it_works_inside_a_running_loop(done: Any) -> None:
    assert done.value("words", turn=1) == ["alpha", "beta"]
    assert await asyncio.to_thread(lambda: done.eval("1 + 1").output) == "2\n"


def test_a_living_run_is_not_disturbed(home: Home) -> None:
    looks: list[Any] = []

    def root(messages: list[Any]) -> str:
        if len(looks) == 1:
            run = open_run(THREAD, home=home)
            looks.append((run.eval("words.append('mine')\nwords").output, run.value("words"), run.status))
            return READY
        looks.append("the first call")
        return MAKE

    out = agent(home, root).invoke(asked("q", context="alpha beta"), THREAD)
    assert looks[1] == ("['alpha', 'beta', 'mine']\n", ["alpha", "beta"], "open")
    assert out["rlm"]["content"] == ["alpha", "beta"]


# --- events


LIVE_ONLY = ("batch.started", "sub_agent.finished", "budget.low", "waiting")


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(event["type"], event["turn"]) for event in events if event["type"] not in LIVE_ONLY]


def test_the_story_is_the_one_that_was_streamed(home: Home) -> None:
    failing = agent(home, [MAKE, FAIL, CHANGE, READY])
    streamed = list(failing.stream(asked("q", context="alpha beta"), THREAD, stream_mode="custom"))
    told = open_run(THREAD, home=home).events()
    assert sorted(kinds(told)) == sorted(kinds(streamed))
    assert [k for k in kinds(told) if k[0] in ("turn.started", "code")] == [
        k for k in kinds(streamed) if k[0] in ("turn.started", "code")
    ]
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert [event["at"] for event in told] == sorted(event["at"] for event in told)
    for name, keys in {
        "code": ["code"],
        "cell.output": ["text", "error"],
        "batch.finished": ["calls", "failed", "replayed"],
        "variables.lost": ["variables"],
        "answer.updated": ["ready", "content"],
        "run.finished": ["stopped_by", "ready"],
    }.items():
        live = [[event[key] for key in keys] for event in streamed if event["type"] == name]
        again = [[event[key] for key in keys] for event in told if event["type"] == name]
        assert (again == live) or name == "cell.output", name


def test_the_story_of_a_killed_run_ends_where_it_does(home: Home) -> None:
    dying = "```python\nllm('x')\n```"
    code = f"""
import os, sys
from rlm_agent import create_rlm_agent
from rlm_agent.testing import ScriptedModel
sub = ScriptedModel(replies=lambda m: os.kill(os.getpid(), 9))
root = ScriptedModel(replies=[{MAKE!r}, {dying!r}])
create_rlm_agent(root, sub_model=sub, home=sys.argv[1]).invoke(
    {{"messages": [("user", "q")], "context": "a"}}, {{"configurable": {{"thread_id": "t"}}}})
"""
    ended = subprocess.run([sys.executable, "-c", code, str(home.path)], capture_output=True, check=False)
    assert ended.returncode == -9
    run = open_run("t", home=home)
    told = kinds(run.events())
    assert told[-2:] == [("turn.started", 2), ("code", 2)]
    assert ("run.finished", 2) not in told
    assert run.status == "open"


def test_the_story_of_a_fork_begins_with_its_origins(done: Any, home: Home) -> None:
    fork = open_run(done.fork(turn=2, code="x = 1"), home=home)
    told = fork.events()
    assert kinds(told)[0] == ("run.started", 0)
    assert kinds(told)[-2:] == [("turn.started", 3), ("code", 3)]
    assert told[-1]["code"].strip() == "x = 1"


# --- notes and bounds


def test_the_root_reads_what_it_is_told_at_its_next_turn(home: Home) -> None:
    seen: list[str] = []

    def root(messages: list[Any]) -> str:
        seen.append(messages[-1].content)
        if len(seen) == 1:
            open_run(THREAD, home=home).tell("서두르세요")
        return MAKE if len(seen) < 3 else READY

    agent(home, root).invoke(asked("q", context="a"), THREAD)
    assert ["서두르세요" in text for text in seen] == [False, True, False]
    with pytest.raises(ConfigError, match="nothing to tell"):
        open_run(THREAD, home=home).tell(" ")


def test_a_stopped_run_goes_on_with_raised_bounds(home: Home) -> None:
    bounds = Budget(turns=1, sub_calls=1)
    out = agent(home, [MAKE], budget=bounds).invoke(asked("q", context="a"), THREAD)
    assert out["rlm"]["stopped_by"] == "turns"
    run = open_run(THREAD, home=home)
    run.extend(turns=30, sub_calls=1, usd=1.5)
    assert run.status == "stopped"
    more = ["```python\nwords.append('x')\n```"] * 20
    seen: list[str] = []

    def root(messages: list[Any]) -> str:
        seen.append("\n".join(str(m.content) for m in messages))
        return [CHANGE, *more, READY][len(seen) - 1]

    out = agent(home, root, budget=bounds).invoke(None, THREAD)
    assert (out["rlm"]["stopped_by"], out["rlm"]["turns"]) == ("ready", 23)
    assert "The user raised the budget: turns +30, sub_calls +1, usd +1.5." in seen[0]
    assert open_run(THREAD, home=home).turns[1].error is None, "two sub-calls fit"


def test_a_living_run_has_raised_bounds_from_its_next_turn_on(home: Home) -> None:
    asked_for: list[int] = []

    def root(messages: list[Any]) -> str:
        asked_for.append(1)
        if len(asked_for) == 2:
            open_run(THREAD, home=home).extend(turns=1)
        return [MAKE, CHANGE, READY][len(asked_for) - 1]

    out = agent(home, root, budget=Budget(turns=2)).invoke(asked("q", context="a"), THREAD)
    assert (out["rlm"]["stopped_by"], out["rlm"]["turns"]) == ("ready", 3)


def test_the_next_question_has_its_own_bounds(home: Home) -> None:
    bounds = Budget(turns=1)
    agent(home, [MAKE], budget=bounds).invoke(asked("q", context="a"), THREAD)
    open_run(THREAD, home=home).extend(turns=1)
    agent(home, [READY], budget=bounds).invoke(None, THREAD)
    out = agent(home, [CHANGE], budget=bounds).invoke(asked("next"), THREAD)
    assert out["rlm"]["stopped_by"] == "turns"


def test_a_fork_has_the_raised_bounds(home: Home) -> None:
    bounds = Budget(turns=1)
    agent(home, [MAKE], budget=bounds).invoke(asked("q", context="a"), THREAD)
    run = open_run(THREAD, home=home)
    run.extend(turns=1)
    out = agent(home, [READY], budget=bounds).invoke(None, run.fork(turn=1))
    assert (out["rlm"]["stopped_by"], out["rlm"]["turns"]) == ("ready", 2)


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ({}, "Nothing to extend"),
        ({"dollars": 1}, "No bound is named 'dollars'; the bounds are tokens, "),
        ({"usd": -1}, "usd=-1: give a number above 0"),
        ({"turns": 1.5}, "turns=1.5: give a whole number above 0"),
        ({"turns": True}, "turns=True"),
        ({"usd": float("nan")}, "usd=nan"),
    ],
)
def test_what_raises_no_bound_says_so(done: Any, amounts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        done.extend(**amounts)


# --- which run


def test_all_runs_are_listed(done: Any, home: Home) -> None:
    config = done.fork(turn=1)
    listed = runs(home=home)
    assert [run.id for run in listed] == [done.id, open_run(config, home=home).id]
    assert [run.id for run in runs("t", home=home)] == [done.id]
    assert listed[1].record.forked_from == done.id


def test_what_is_not_there_says_so(home: Home) -> None:
    with pytest.raises(ConfigError, match="holds no run of thread 'nope'"):
        open_run("nope", home=home)
    with pytest.raises(ConfigError, match="names no thread"):
        open_run({"configurable": {}}, home=home)


def test_an_older_home_is_brought_up_to_date(tmp_path: Path) -> None:
    """A home of before there were forks: its runs load, and can be forked and extended."""
    code = """
import sys
from rlm_agent.store import schema
schema.MIGRATIONS = schema.MIGRATIONS[:1]
from rlm_agent.store.home import Home
with Home(sys.argv[1]) as home:
    home.write(lambda c: c.execute(
        "INSERT INTO runs (id, thread, path, name, created, salt, version, active) "
        "VALUES ('r', 't', '', 'rlm', 1.0, '', 1, 1.0)")).result()
    from rlm_agent.store.plain import pack
    body = pack({"digest": "d", "message": {"id": "m", "text": "q", "content": "q"}, "earlier": [], "context": None,
        "context_digest": "", "first_turn": 1, "genesis": "g"})
    home.write(lambda c: c.execute(
        "INSERT INTO questions VALUES ('r', 1, NULL, 'open', NULL, 0.0, 1.0, 1, ?, NULL)", (body,))).result()
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "old")], check=True, env={**os.environ})
    with Home(tmp_path / "old") as home:
        run = open_run("t", home=home)
        assert (run.record.forked_from, run.question.parent, run.status) == (None, None, "open")
        run.extend(turns=3)
        assert run.turns == []
