"""`rlm fork`, `repl`, `diff`, `show`, `tell`, `resume --budget`: looking at runs and branching them, over real HTTP.

What a cell, a model or a page wrote is hostile here: it carries sequences that would steer a terminal.
"""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy
import openai_server
import pseudo_terminal
import pytest
from command_line import COMMAND, Rlm
from langgraph.graph import END, START, StateGraph

from rlm_agent import create_rlm_agent, open_run
from rlm_agent.store.home import Home
from rlm_agent.testing import ScriptedModel

TITLE, WIPE, COLOUR = "\x1b]0;owned\x07", "\x1b[2J", "\x1b[7;33;41m"
HOSTILE = f"{TITLE}{WIPE}{COLOUR}"
MAKE = """
import numpy as np, threading
이름 = "철수"
table = np.arange(6).reshape(2, 3)
lock = threading.Lock()
data = {"점수": [1, 2.5]}
print("made")
"""
MORE = 'extra = llm("look")\ndel data\n이름 = "영희"'
READY = 'answer["content"] = f"{이름} 끝"\nanswer["ready"] = True'
THREAD = "스레드 1"


def fenced(*cells: str) -> Callable[[dict[str, Any]], str]:
    """A root that writes these cells, by the number of its turns so far; sub-agents say "re"."""

    def answer(body: dict[str, Any]) -> str:
        if body["messages"][-1]["content"] == "look":
            return "re"
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        return f"```python\n{cells[min(turn, len(cells) - 1)]}\n```"

    return answer


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An OpenAI-compatible server that `openai:...` names reach."""
    with openai_server.serve(fenced(MAKE, MORE, READY)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-local-0123456789")
        yield server


@pytest.fixture
def done(rlm: Rlm, served: Any) -> Any:
    """The server after an answered run of three turns on THREAD: three root replies and one sub-call."""
    assert rlm("run", "질문", "--model", "openai:gpt-5", "--thread", THREAD, "-q").out == "영희 끝\n"
    assert len(served.requests) == 4
    return served


# --- fork


def test_a_fork_is_made_and_goes_on_with_the_models_of_its_origin(rlm: Rlm, done: Any, tmp_path: Path) -> None:
    made = rlm("fork", THREAD, "--turn", "1")
    assert made.code == 0
    new = made.out.strip()
    assert made.out == f"{new}\n"
    assert made.err == f"go on with it at any time: rlm resume {new}\n"
    assert (rlm("resume", new).out, len(done.requests)) == ("영희 끝\n", 4), "unchanged, it is answered from the record"
    (tmp_path / "fix.py").write_text('이름 = "민수"\nextra = 1', "utf-8")
    made = rlm("fork", THREAD, "-t", "1", "--code", str(tmp_path / "fix.py"), "--thread", "가지 2", "-q")
    assert (made.out, made.err) == ("가지 2\n", "")
    assert (rlm("resume", "가지 2", "-q").out, len(done.requests)) == ("민수 끝\n", 5)
    assert rlm("show", THREAD, "--value", "이름").out == "영희\n", "the origin is not touched"
    assert {request["model"] for request in done.requests} == {"gpt-5"}


def test_a_fork_takes_code_from_stdin_and_a_message(rlm: Rlm, done: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('이름 = "지우"'))
    new = rlm("fork", THREAD, "-t", "2", "--code", "-", "-m", "세어 보세요").out.strip()
    assert rlm("resume", new, "-q").out == "지우 끝\n"
    assert "세어 보세요" in json.dumps(done.requests[-1]["messages"], ensure_ascii=False)
    before = len(done.requests)
    anew = rlm("fork", THREAD, "--turn", "1", "--resample").out.strip()
    assert (rlm("resume", anew, "-q").out, len(done.requests) - before) == ("영희 끝\n", 3)


def test_a_fork_that_a_program_made_has_the_models_of_its_origin_too(rlm: Rlm, done: Any, own_home: Path) -> None:
    with Home(own_home) as home:
        first = open_run(THREAD, home=home).fork(turn=2)["configurable"]["thread_id"]
        second = open_run(first, home=home).fork(turn=1)["configurable"]["thread_id"]
    assert rlm("resume", second, "-q").out == "영희 끝\n"
    assert rlm("run", "질문", "--thread", first, "-q").out == "영희 끝\n"


def test_without_a_turn_a_fork_begins_at_the_newest(rlm: Rlm, done: Any) -> None:
    new = rlm("fork", THREAD).out.strip()
    assert len(rlm("log", new).out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fork", "nobody", "--turn", "1"), ("nobody", "rlm threads")),
        (("fork", THREAD, "--turn", "9"), ("no turn 9", "1 to 3")),
        (("fork", THREAD, "-t", "1", "--thread", THREAD), ("has a run already",)),
        (("fork", THREAD, "-t", "1", "--code", "/no/such.py"), ("/no/such.py",)),
        (("fork", THREAD, "-t", "1", "-m", " "), ("message is empty",)),
        (("show", THREAD, "--turn", "9"), ("no turn 9", "1 to 3")),
        (("show", THREAD, "--value", "이르"), ("이름",)),
        (("show", THREAD, "--value", "lock"), ("lost", "lives only in the process")),
        (("show", THREAD, "--value", "table", "-o", "/no/such/place"), ("/no/such/place", "cannot be written")),
        (("show", THREAD, "--as", "json"), ("--value NAME",)),
        (("diff", THREAD, f"{THREAD}@7"), ("no turn 7",)),
        (("diff", THREAD, "nobody@1"), ("nobody", "rlm threads")),
        (("repl", THREAD, "--turn", "9"), ("no turn 9",)),
        (("tell", THREAD, "x"), ("answered", "rlm run TEXT --thread '스레드 1'")),
        (("log", "nobody"), ("nobody", "rlm threads")),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    rlm: Rlm, done: Any, arguments: tuple[str, ...], said: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("1"))
    ended = rlm(*arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended
    for words in said:
        assert words in ended.err


# --- variables, values, differences


def test_variables_are_listed_in_columns_with_why_one_is_lost(rlm: Rlm, done: Any) -> None:
    lines = rlm("show", THREAD, "--vars", "--turn", "1").out.splitlines()
    assert lines[0].split() == ["name", "type", "bytes", "shape", "value"]
    found = {line.split()[0]: line.split(maxsplit=4)[1:] for line in lines[1:]}
    assert found["table"][:3] == ["numpy.ndarray", "48", "2x3"]
    assert found["이름"][0] == "str"
    assert "lost: it lives only in the process" in next(line for line in lines if line.startswith("lock"))
    from rich.cells import cell_len

    starts = {
        cell_len(line[: line.index(kind)])
        for line, kind in zip(lines, ["type", *(found[line.split()[0]][0] for line in lines[1:])], strict=True)
    }
    assert len(starts) == 1, "wide names do not shift the columns"
    assert "data" in found
    assert not any(line.startswith("data") for line in rlm("show", THREAD, "--vars").out.splitlines())


def test_a_value_is_given_in_each_form(rlm: Rlm, done: Any, tmp_path: Path) -> None:
    assert rlm("show", THREAD, "-t", "1", "--value", "data").out == "{'점수': [1, 2.5]}\n"
    assert json.loads(rlm("show", THREAD, "-t", "1", "--value", "data", "--as", "json").out) == {"점수": [1, 2.5]}
    file = tmp_path / "값.npy"
    wrote = rlm("show", THREAD, "--value", "table", "--as", "npy", "-o", str(file))
    assert (wrote.code, wrote.out) == (0, "")
    assert numpy.load(file, allow_pickle=False).tolist() == [[0, 1, 2], [3, 4, 5]]
    piped = subprocess.run([*COMMAND, "show", THREAD, "--value", "table", "--as", "bytes"], capture_output=True)
    assert piped.stdout == numpy.arange(6).tobytes()


def test_a_difference_names_turns_code_variables_answer_and_usage(rlm: Rlm, done: Any) -> None:
    new = rlm("fork", THREAD, "--turn", "1", "--thread", "b@2").out.strip()
    done.answer = fenced(MAKE, 'extra = [1]\n이름 = "영희"', 'answer["content"] = "달라"\nanswer["ready"] = True')
    rlm("resume", rlm("fork", THREAD, "-t", "1", "--resample", "--thread", "c").out.strip(), "-q")
    out = rlm("diff", THREAD, "c").out
    assert out.startswith(f"1 turn in common, 2 more in {THREAD}, 2 in c\n")
    assert '-extra = llm("look")' in out
    assert "+extra = [1]" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["-", "extra"] in [line[:2] for line in lines]
    assert ["+", "data", "dict"] in [line[:3] for line in lines]
    assert not [line for line in lines if line[1:2] == ["table"]], "what is the same is not listed"
    assert "- (ready) 영희 끝" in out
    assert "+ (ready) 달라" in out
    assert out.splitlines()[-2].startswith("- 4 calls (1 by sub-agents)")
    assert out.splitlines()[-1].startswith("+ 3 calls (0 by sub-agents)")
    assert rlm("diff", THREAD, new).out.startswith(f"1 turn in common, 2 more in {THREAD}, 0 in b@2\n"), "an id with @"
    told = json.loads(rlm("diff", f"{THREAD}@1", f"{THREAD}@3", "--json").out)
    assert (told["a"]["turn"], told["b"]["turn"], told["common_turns"]) == (1, 3, 1)
    assert [turn["turn"] for turn in told["b"]["parted_turns"]] == [2, 3]
    assert [v["name"] for v in told["variables"]["added"]] == ["extra"]
    assert [v["name"] for v in told["variables"]["removed"]] == ["data"]
    assert {pair["b"]["name"] for pair in told["variables"]["changed"]} == {"이름", "answer"}
    same = rlm("diff", THREAD, THREAD)
    assert (same.code, same.out.splitlines()[0]) == (0, f"3 turns in common, 0 more in {THREAD}, 0 in {THREAD}")


# --- repl


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("x = 1\nprint(이름)\nx + 1", (0, "영희\n2\n", "")),
        ("print('so far')\n1 / 0", (1, "so far\n", "ZeroDivisionError: division by zero\n")),
        ("if True:\n    llm_batch(['a'])", (1, "", "it makes no sub-calls, and pays for nothing\n")),
        ("def f(:", (1, "", "SyntaxError: invalid syntax\n")),
        ("x = 1", (0, "", "")),
    ],
)
def test_without_a_terminal_stdin_is_one_input(
    rlm: Rlm, done: Any, monkeypatch: pytest.MonkeyPatch, code: str, ends: tuple[int, str, str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(code))
    ended = rlm("repl", THREAD)
    assert (ended.code, ended.out) == ends[:2]
    assert ended.err.endswith(ends[2])
    assert len(done.requests) == 4


def test_a_prompt_in_a_terminal(rlm: Rlm, done: Any, own_home: Path) -> None:
    with pseudo_terminal.terminal([*COMMAND, "repl", THREAD, "--turn", "2"], os.environ, columns=40) as shown:
        shown.read_until(r"turn 2>>>$")

        def enter(text: str, pattern: str) -> None:
            """Types a line and waits for what comes after all that was shown before."""
            before = len(shown.screen)
            shown.type(text.encode() + b"\r")
            shown.read_until(pattern, since=before)

        enter("def f(n):", r"\.\.\.$")
        enter("    return n * 2", r"\.\.\.$")
        enter("", r"turn 2>>>$")
        enter("값 = f(21)", r"turn 2>>>$")
        enter("값", r"\n42\nturn 2>>>$")
        enter("1 / 0", r"ZeroDivisionError: division by zero\nturn 2>>>$")
        enter(f"print({HOSTILE!r} + 'shown')", r"\nshown\nturn 2>>>$")
        enter("raise ValueError('\\x1b[2Jwiped')", r"ValueError: wiped\nturn 2>>>$")
        shown.type(b"while True: pass\r\r")
        shown.read_until(r"True: pass\n\.\.\.$")
        time.sleep(0.7)
        shown.type(pseudo_terminal.CTRL_C)
        shown.read_until(r"KeyboardInterrupt: stopped by[^>]*kept\.\nturn 2>>>$")
        enter("값 + 1", r"\n43\nturn 2>>>$")
        shown.type(b"half an inp")
        shown.read_until(r"half an inp$")
        # Python's readline overlooks a signal that comes while it shows a key, until the next key.
        time.sleep(0.7)
        shown.type(pseudo_terminal.CTRL_C)
        shown.read_until(r"half an inp(\^C)?\nturn 2>>>$")
        enter(":vars", r"\n값 +int +\d+ +42\n(.*\n)*turn 2>>>$")
        enter(":nonsense", r"no command :nonsense: :help lists them\n")
        enter(":help", r":tell TEXT")
        enter(":tell 서두르세요", r"is answered")
        enter(":turn 9", r"has no")
        enter(":fork 가지", r"\n가지\nturn 2>>>$")
        enter(":turn 1", r"turn 1>>>$")
        enter("'값' in globals(), 이름", r"\n\(False, '철수'\)\nturn 1>>>$")
        shown.type(pseudo_terminal.CTRL_D)
        assert shown.wait(10) == 0
    for sequence in (TITLE, WIPE, COLOUR):
        assert sequence.encode() not in shown.raw
    with Home(own_home) as home:
        fork = open_run("가지", home=home)
    assert fork.record.forked_at == 2
    assert rlm("resume", "가지", "-q").out == "영희 끝\n"
    code = rlm("show", "가지", "--turn", "3").out
    assert "값 = f(21)" in code
    assert "1 / 0" not in code, "what failed is left out"
    history = own_home / "cli" / "repl_history"
    assert "값 = f(21)" in history.read_text("utf-8")
    assert history.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_cell_that_does_not_stop_is_ended_by_the_second_ctrl_c(done: Any) -> None:
    stubborn = b"import time\rwhile True:\r try: time.sleep(1)\r except BaseException: pass\r\r"
    with pseudo_terminal.terminal([*COMMAND, "repl", THREAD, "-q"], os.environ) as shown:
        shown.read_until(r"turn 3>>>$")
        shown.type(stubborn)
        shown.read_until(r"except BaseException: pass\n\.\.\.$")
        time.sleep(0.7)
        shown.type(pseudo_terminal.CTRL_C)
        time.sleep(0.3)
        shown.type(pseudo_terminal.CTRL_C)
        shown.read_until(r"this copy begins anew.*\nturn 3>>>$")
        shown.type("이름\r".encode())
        shown.read_until(r"\n'영희'\nturn 3>>>$")
        shown.type(pseudo_terminal.CTRL_D)
        assert shown.wait(10) == 0


# --- nothing that came from outside steers the terminal


def test_no_command_lets_an_escape_sequence_through(
    rlm: Rlm, served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = HOSTILE.encode("unicode_escape").decode()
    (tmp_path / f"{COLOUR}page.txt").write_text(HOSTILE)
    print_it = f'bad = "{hostile}bad"\nprint(bad)  # {HOSTILE}\nanswer["content"] = bad + "so far"'
    fail = f'raise ValueError("{hostile}failed")'
    served.answer = lambda body: HOSTILE + "\n" + fenced(print_it, fail, 'answer["ready"] = True')(body)
    run = ["run", f"q{HOSTILE}", "--model", "openai:gpt-5", "--thread", f"t{COLOUR}", "-c", str(tmp_path)]
    name = f"t{COLOUR}"
    rlm(*run[:-2], "--budget", "turns=3", "-q", "-c", str(tmp_path))
    commands = [
        [*run[:5], "other", *run[6:]],
        [*run[:5], "third", "--jsonl"],
        ["threads"],
        ["threads", "--json"],
        ["log"],
        ["log", name],
        ["show", name],
        ["show", name, "--turn", "1"],
        ["show", name, "--turn", "2"],
        ["show", name, "--vars"],
        ["show", name, "--value", "bad"],
        ["show", name, "--value", "bad", "--as", "json"],
        ["diff", f"{name}@1", name],
        ["diff", f"{name}@1", name, "--json"],
        ["resume", name],
        ["fork", name],
        ["tell", name, "x"],
        ["resume", f"nobody{COLOUR}"],
    ]
    for command in commands[7:8]:
        with pseudo_terminal.terminal([*COMMAND, *command], os.environ) as shown:
            assert shown.wait(60) in (0, 3), shown.screen
        assert steers(shown.raw.decode()) == [], command
    monkeypatch.setenv("TERM", "xterm")
    for command in commands:
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        ended = rlm(*command)
        assert ended.code in (0, 2, 3)
        assert ended.out or ended.err
        assert steers(ended.out + ended.err) == [], command


def steers(written: str) -> list[str]:
    return [sequence for sequence in (TITLE, WIPE, COLOUR) if sequence in written]


def test_rows_are_one_line_each_in_a_narrow_terminal(rlm: Rlm, done: Any) -> None:
    rlm("run", "아주 긴 한국어 질문입니다 " * 5, "--model", "openai:gpt-5", "--thread", "아주긴스레드이름" * 4, "-q")
    for command, rows in ((["threads"], 2), (["log"], 2), (["log", THREAD], 3)):
        with pseudo_terminal.terminal([*COMMAND, *command], {**os.environ, "NO_COLOR": "1"}, columns=40) as shown:
            assert shown.wait(60) == 0
        lines = shown.raw.decode().split("\r\n")[:-1]
        from rich.cells import cell_len

        assert len(lines) == rows, shown.screen
        assert max(map(cell_len, lines)) <= 40
        assert "\x1b" not in shown.raw.decode()


# --- telling, and raising bounds


class Host(TypedDict, total=False):
    messages: list[Any]
    rlm: dict[str, Any]


def test_an_embedded_run_is_looked_at_told_and_forked_but_not_resumed(rlm: Rlm, own_home: Path) -> None:
    with Home(own_home) as home:
        root = ScriptedModel(replies=["```python\nx = 1\n```", ConnectionError("down")])
        parent = StateGraph(Host)
        parent.add_node("research", create_rlm_agent(root, home=home, input_key=None))
        parent.add_edge(START, "research")
        parent.add_edge("research", END)
        with pytest.raises(Exception, match="connection broke"):
            parent.compile().invoke({"messages": [("user", "q")]}, {"configurable": {"thread_id": "host"}})
    assert "x " in rlm("show", "host", "--vars").out
    assert rlm("log", "host").out.split()[0] == "1"
    told = rlm("tell", "host", "hurry")
    assert (told.code, "its own program goes on with it" in told.err) == (0, True)
    refused = rlm("resume", "host")
    assert refused.code == 2
    assert "another program's run" in refused.err
    assert "rlm fork" in refused.err
    made = rlm("fork", "host")
    assert "--model MODEL" in made.err
    assert open_run(made.out.strip(), home=own_home).status == "open"


def test_a_run_of_another_name_is_found_and_its_fork_says_who_goes_on(rlm: Rlm, own_home: Path) -> None:
    with Home(own_home) as home:
        root = ScriptedModel(replies=['```python\nanswer["content"] = 1\nanswer["ready"] = True\n```'])
        agent = create_rlm_agent(root, home=home, name="researcher", checkpointer=home.checkpointer)
        agent.invoke({"messages": [("user", "q")]}, {"configurable": {"thread_id": "r"}})
        create_rlm_agent(ScriptedModel(replies=root.replies), home=home).invoke({"messages": [("user", "no thread")]})
        nameless = next(run for run in home.runs.list() if run.thread is None)
    assert "researcher" in rlm("resume", "r").err
    made = rlm("fork", "r")
    assert f"agent.invoke(None, {{'configurable': {{'thread_id': {made.out.strip()!r}}}}})" in made.err
    assert f"(run {nameless.id[:12]})" in rlm("log").out
    assert "no thread" in rlm("show", nameless.id[:12]).out


def test_more_budget_for_an_answered_run_says_what_to_do(rlm: Rlm, done: Any) -> None:
    again = rlm("resume", THREAD, "--budget", "usd=+10", "-q")
    assert (again.code, again.out) == (0, "영희 끝\n")
    assert "ask on with rlm run TEXT --thread '스레드 1'" in again.err


@pytest.mark.slow
def test_a_living_run_of_another_process_has_raised_bounds_from_its_next_turn(
    rlm: Rlm, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, released = threading.Event(), threading.Event()
    script = fenced("x = 1", "x += 1", 'answer["content"] = str(x)\nanswer["ready"] = True')

    def answer(body: dict[str, Any]) -> str:
        if "x += 1" not in json.dumps(body["messages"]) and any(m["role"] == "assistant" for m in body["messages"]):
            asked.set()
            assert released.wait(60)
        return script(body)

    served.answer = answer
    monkeypatch.setattr("rlm_agent.entries.activity.LEASE_WAIT", 0.1)
    run = ["run", "q", "--model", "openai:gpt-5", "--thread", "t", "--budget", "turns=2", "-q"]
    process = subprocess.Popen([*COMMAND, *run], stdout=subprocess.PIPE, text=True)
    try:
        assert asked.wait(60)
        raised = rlm("resume", "t", "--budget", "turns=+1,usd=+2")
        assert rlm("tell", "t", "서두르세요").code == 0
        listed = rlm("log").out.split()[:2]
        looked = rlm("show", "t", "--value", "x").out
        released.set()
        out, _ = process.communicate(timeout=60)
    finally:
        released.set()
        process.kill()
    assert raised.code == 1
    assert "it has them from its next turn on" in raised.err
    assert (listed, looked) == (["t", "unfinished"], "1\n")
    assert (process.returncode, out) == (0, "2\n")
    assert "서두르세요" in json.dumps(served.requests[-1]["messages"], ensure_ascii=False)


# --- a home with much in it


def test_two_hundred_threads_are_listed_at_once(rlm: Rlm, own_home: Path) -> None:
    with Home(own_home) as home:
        root = ScriptedModel(replies=['```python\nanswer["content"] = 1\nanswer["ready"] = True\n```'])
        agent = create_rlm_agent(root, home=home, checkpointer=home.checkpointer)
        agent.invoke({"messages": [("user", "q")]}, {"configurable": {"thread_id": "first"}})
        run = open_run("first", home=home)
        for number in range(199):
            run.fork(turn=1, thread=f"t{number}")
    began = time.monotonic()
    assert len(rlm("threads", "-n", "500").out.splitlines()) == 200
    assert len(rlm("log", "-n", "500").out.splitlines()) == 200
    assert time.monotonic() - began < 5
    head = subprocess.run(
        f"{' '.join(COMMAND)} threads -n 500 | head -1", shell=True, capture_output=True, text=True, timeout=60
    )
    assert (head.stdout.count("\n"), head.stderr) == (1, "")
