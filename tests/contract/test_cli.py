"""The command `rlm` as its users meet it: exit codes, what goes to stdout and stderr, resume, over real HTTP.

Commands run in this process through `main()`, which spares each its imports, save where the process itself is the
matter: what importing costs, Ctrl-C, the demo.
"""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai_server
import pytest
from command_line import COMMAND, Rlm

from rlm_agent.keys import place
from rlm_agent.store.home import Home

QUESTION = "Which module defines the class ThreadPoolExecutor?"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A directory of a few real modules."""
    import concurrent.futures

    source = Path(concurrent.futures.__file__).parent
    target = tmp_path / "corpus" / "concurrent" / "futures"
    target.mkdir(parents=True)
    for file in source.glob("*.py"):
        (target / file.name).write_text(file.read_text("utf-8"), "utf-8")
    return tmp_path / "corpus"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An OpenAI-compatible server that `openai:...` names reach."""
    with openai_server.serve() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-local-0123456789")
        yield server


def fenced(*cells: str) -> Callable[[dict[str, Any]], str]:
    """A root that writes these cells, by the number of its turns so far."""
    return lambda body: f"```python\n{cells[sum(m['role'] == 'assistant' for m in body['messages'])]}\n```"


def only_line(text: str) -> str:
    """The text, which must be one line and no traceback."""
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_help_and_version_import_neither_langgraph_nor_langchain() -> None:
    code = (
        "import sys; from rlm_agent.cli.main import main\n"
        "try: sys.argv = ['rlm', '--version']; main()\n"
        "except SystemExit as end: assert not end.code\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "heavy = names & {'langgraph', 'langchain_core', 'openai', 'rich', 'numpy'}\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ.copy())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rlm ")


def test_offline_run_gives_one_json_object_and_is_seen_by_the_other_commands(rlm: Rlm, corpus: Path) -> None:
    ended = rlm("run", QUESTION, "--context", str(corpus), "--model", "offline", "--json")
    assert ended.code == 0
    result = json.loads(ended.out)
    assert list(result) == ["thread", "answer", "ready", "stopped_by", "usage", "turns"]
    assert "concurrent/futures/thread.py" in result["answer"]
    assert (result["ready"], result["stopped_by"]) == (True, "ready")
    thread = result["thread"]
    for said in (
        f"rlm resume {thread}",
        "No language model is used",
        "5 USD",
        "isolation: files, network, signals closed",
    ):
        assert said in ended.err
    listed = rlm("log")
    assert [line.split()[:2] for line in listed.out.splitlines()] == [[thread, "answered"]]
    assert QUESTION in listed.out
    assert len(rlm("log", thread).out.splitlines()) == result["turns"]
    shown = rlm("show", thread).out
    assert QUESTION in shown
    assert "concurrent/futures/thread.py" in shown
    again = rlm("resume", "--last", "--quiet")
    assert (again.code, again.err) == (0, "")
    assert again.out.strip() == result["answer"]


def test_stopped_by_a_limit_then_resumed_with_more_pays_only_what_is_new(rlm: Rlm, served: Any) -> None:
    partial = 'answer["content"] = "부분"\nprint("\\x1b[2Jwiped", "kept")'
    served.answer = fenced(partial, 'answer["content"] = "완전한 답"\nanswer["ready"] = True')
    stopped = rlm("run", "질문", "--model", "openai:gpt-5", "--thread", "t 1", "--budget", "turns=1")
    assert (stopped.code, stopped.out) == (3, "부분\n")
    assert "rlm resume 't 1' --budget turns=+N" in stopped.err
    assert len(served.requests) == 1
    still = rlm("resume", "t 1", "--quiet", "--json")
    assert (still.code, json.loads(still.out)["answer"], len(served.requests)) == (3, "부분", 1)
    done = rlm("resume", "t 1", "--budget", "turns=+1")
    assert (done.code, done.out) == (0, "완전한 답\n")
    assert len(served.requests) == 2, "the recorded turn was paid again"
    turn = rlm("show", "t 1", "--turn", "1").out
    assert "wiped kept" in turn
    assert 'answer["content"] = "부분"' in turn
    assert rlm("show", "t 1", "--turn", "9").code == 2


def test_a_further_question_on_a_thread_keeps_its_variables(rlm: Rlm, served: Any) -> None:
    served.answer = fenced('x = 20\nanswer["content"] = str(x)\nanswer["ready"] = True')
    assert rlm("run", "one", "--model", "openai:gpt-5", "--thread", "t", "-q").out == "20\n"
    served.answer = fenced('answer["content"] = str(x + 1)\nanswer["ready"] = True')
    assert rlm("run", "two", "--model", "openai:gpt-5", "--thread", "t", "-q").out == "21\n"


def test_a_further_question_keeps_the_input_until_another_is_given(rlm: Rlm, served: Any, tmp_path: Path) -> None:
    for name, text in {"one": "하나", "two": "둘둘"}.items():
        (tmp_path / name).write_text(text, "utf-8")
    served.answer = lambda body: '```python\nanswer["content"] = context\nanswer["ready"] = True\n```'
    one, two = ("-c", str(tmp_path / "one")), ("-c", str(tmp_path / "two"))
    assert rlm("run", "first", "--model", "openai:gpt-5", "--thread", "t", "-q", *one).out == "하나\n"
    assert rlm("run", "next", "--thread", "t", "-q").out == "하나\n", "the thread's own model and input serve on"
    assert rlm("run", "next", "--thread", "t", "-q", *two).out == "둘둘\n"
    assert rlm("run", "last", "--thread", "t", "-q").out == "둘둘\n"
    (row,) = json.loads(rlm("threads", "--json").out)
    assert (row["thread"], row["questions"], row["question"], row["context"]) == ("t", 4, "last", "two")
    assert {request["model"] for request in served.requests} == {"gpt-5"}


def test_what_is_said_to_an_unfinished_run_is_a_note_that_its_root_reads(rlm: Rlm, served: Any, tmp_path: Path) -> None:
    served.answer = lambda body: openai_server.Refusal(401)
    assert rlm("run", "q", "--model", "openai:gpt-5", "--thread", "t", "--budget", "usd=1.5").code == 1
    assert rlm("tell", "t", "mind the units").code == 0
    (tmp_path / "other").write_text("another input")
    refused = rlm("run", "also in euros", "--thread", "t", "-c", str(tmp_path / "other"))
    assert (refused.code, "another context" in refused.err) == (2, True)
    served.answer = fenced('answer["content"] = "done"\nanswer["ready"] = True')
    ended = rlm("run", "also in euros", "--thread", "t")
    assert (ended.code, ended.out) == (0, "done\n")
    assert "this is a note that its root reads" in ended.err
    asked = json.dumps(served.requests[-1]["messages"])
    assert "mind the units" in asked
    assert "also in euros" in asked
    (row,) = json.loads(rlm("threads", "--json").out)
    assert (row["questions"], row["question"]) == (1, "q")
    start = json.loads(next((Path(os.environ["RLM_HOME"]) / "cli").iterdir()).read_text())
    assert start["budget"]["usd"] == 1.5, "the question's own bounds hold on"
    assert "rlm run TEXT --thread t" in only_line(rlm("tell", "t", "too late").err)


def test_what_is_said_while_another_works_on_it_is_kept(
    rlm: Rlm, served: Any, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    served.answer = lambda body: openai_server.Refusal(401)
    rlm("run", "q", "--model", "openai:gpt-5", "--thread", "t", "-q")
    monkeypatch.setattr("rlm_agent.entries.activity.LEASE_WAIT", 0.1)
    with Home(own_home) as home:
        lease = asyncio.run(home.leases.acquire(place("t", "", "rlm"), wait=1))
        ended = rlm("run", "hurry", "--thread", "t", "-q")
        assert (ended.code, ended.out) == (1, "")
        assert "What you said is kept" in only_line(ended.err)
        asyncio.run(lease.release())
    served.answer = fenced('answer["content"] = "done"\nanswer["ready"] = True')
    assert rlm("resume", "t", "-q").out == "done\n"
    assert "hurry" in json.dumps(served.requests[-1]["messages"])


def test_threads_are_listed_a_line_each(rlm: Rlm, served: Any) -> None:
    empty = rlm("threads")
    assert (empty.code, empty.out) == (0, "")
    assert "no thread yet" in empty.err
    assert rlm("threads", "--json").out == "[]\n"
    served.answer = fenced('answer["content"] = "done"\nanswer["ready"] = True')
    rlm("run", "첫 질문", "--model", "openai:gpt-5", "--thread", "old", "-q")
    served.answer = lambda body: openai_server.Refusal(401)
    rlm("run", "second\nline", "--model", "openai:gpt-5", "--thread", "new one", "-q")
    lines = rlm("threads").out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["new one", "old"]
    assert "unfinished   1 question    0 turns" in lines[0]
    assert lines[0].endswith("second line")
    assert "answered     1 question     1 turn" in lines[1]
    assert len(rlm("threads", "-n", "1").out.splitlines()) == 1
    first, second = json.loads(rlm("threads", "--json").out)
    assert [first["status"], second["status"], second["question"]] == ["open", "answered", "첫 질문"]


def test_an_input_is_added_once_and_given_by_its_handle(rlm: Rlm, corpus: Path) -> None:
    added = rlm("corpus", "add", str(corpus), "--name", "futures 라이브러리")
    assert (added.code, added.err) == (0, "")
    handle = json.loads(added.out)
    assert (handle["kind"], handle["name"]) == ("files", "futures 라이브러리")
    ended = rlm("run", QUESTION, "--context", added.out, "--model", "offline", "-q")
    assert "concurrent/futures/thread.py" in ended.out
    assert json.loads(rlm("threads", "--json").out)[0]["context"] == "futures 라이브러리"


def test_several_sources_are_one_input(rlm: Rlm, served: Any, tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(name)
    served.answer = lambda body: '```python\nanswer["content"] = sorted(context.values())\nanswer["ready"] = True\n```'
    given = ("-c", str(tmp_path / "one.txt"), "-c", str(tmp_path / "two.txt"))
    ended = rlm("run", "q", "--model", "openai:gpt-5", "--json", *given)
    assert json.loads(ended.out)["answer"] == ["one.txt", "two.txt"]
    added = rlm("corpus", "add", str(tmp_path / "one.txt"), str(tmp_path / "two.txt"))
    assert json.loads(added.out)["files"] == 2


def test_the_events_are_json_lines_and_the_last_one_is_the_result(rlm: Rlm, served: Any) -> None:
    served.answer = lambda body: (
        "한국어"
        if body["messages"][-1]["content"] == "p"
        else '```python\nanswer["content"] = llm("p")\nanswer["ready"] = True\n```'
    )
    ended = rlm("run", "q", "--model", "openai:gpt-5", "--thread", "t", "--jsonl")
    events = [json.loads(line) for line in ended.out.splitlines()]
    types = [event["type"] for event in events]
    assert types == [
        "run.started",
        "turn.started",
        "code",
        "batch.started",
        "sub_agent.finished",
        "batch.finished",
        "cell.output",
        "cell.finished",
        "answer.updated",
        "run.finished",
    ]
    assert [event["seq"] for event in events] == list(range(1, 11))
    assert all({"version", "run", "turn", "depth", "at"} <= set(event) for event in events)
    result = json.loads(rlm("resume", "t", "--json").out)
    assert result["answer"] == "한국어"
    assert {name: events[-1][name] for name in result} == result
    (again,) = rlm("resume", "t", "--jsonl", "-q").out.splitlines()
    assert {name: json.loads(again)[name] for name in result} == result
    stopped = rlm("run", "q", "--model", "openai:gpt-5", "--budget", "turns=0", "--jsonl", "-q")
    assert (stopped.code, json.loads(stopped.out.splitlines()[-1])["stopped_by"]) == (3, "turns")


def test_unknown_price_is_bounded_by_sub_calls(rlm: Rlm, served: Any) -> None:
    served.answer = fenced(
        'try:\n    llm_batch(["p"] * 501)\nexcept Exception as error:\n    answer["content"] = str(error)\n'
        'answer["ready"] = True'
    )
    ended = rlm("run", "q", "--model", "openai:house-model")
    assert "price of house-model unknown: bounded by 500 sub-calls" in ended.err
    assert "501 sub-calls, 500 of 500 are left" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "q"), ("--model", "RLM_MODEL", "offline")),
        (("run", "q", "--model", "nosuch:thing"), ("nosuch:thing", "offline")),
        (("run", "q", "--model", "openai:gpt-5"), ("OPENAI_API_KEY",)),
        (("run", "q", "--model", "offline", "--context", "/no/such/place"), ("/no/such/place",)),
        (("run", "q", "--model", "offline", "--json", "--jsonl"), ("--json", "one of them")),
        (("run", " ", "--model", "offline"), ("question is empty",)),
        (("run", "q", "--model", "offline", "--budget", "euros=5"), ("euros", "usd")),
        (("run", "q", "--model", "offline", "--budget", "usd=+5"), ("rlm resume",)),
        (("resume", "nobody"), ("nobody", "rlm threads")),
        (("tell", "nobody", "x"), ("nobody", "rlm threads")),
        (("corpus", "add", "/no/such/place"), ("/no/such/place",)),
        (("resume",), ("--last",)),
        (("show", "nobody"), ("nobody",)),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(rlm: Rlm, arguments: tuple[str, ...], said: tuple[str, ...]) -> None:
    ended = rlm(*arguments)
    assert (ended.code, ended.out) == (2, "")
    line = only_line(ended.err)
    for words in said:
        assert words in line


def test_an_unknown_option_is_a_usage_error(rlm: Rlm) -> None:
    ended = rlm("run", "q", "--nonesuch", "web")
    assert (ended.code, ended.out) == (2, "")
    assert "--nonesuch" in ended.err


@pytest.mark.parametrize(("status", "said"), [(404, "name"), (401, "key")])
def test_a_refusal_of_the_provider_is_one_line_and_exit_1(rlm: Rlm, served: Any, status: int, said: str) -> None:
    served.answer = lambda body: openai_server.Refusal(status)
    ended = rlm("run", "q", "--model", "openai:gpt-5", "--quiet")
    assert (ended.code, ended.out) == (1, "")
    assert said in only_line(ended.err)


def test_a_server_that_is_down_is_one_line_and_exit_1(rlm: Rlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-local-0123456789")
    ended = rlm("run", "q", "--model", "openai:gpt-5", "--quiet")
    assert (ended.code, ended.out) == (1, "")
    assert "cannot connect" in only_line(ended.err)


def test_an_unexpected_error_is_one_line_until_debug_asks_for_more(
    rlm: Rlm, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    own_home.mkdir()
    (own_home / "cli").write_text("in the way of the directory")
    ended = rlm("run", "q", "--model", "offline", "-q")
    assert (ended.code, ended.out) == (1, "")
    only_line(ended.err)
    monkeypatch.setenv("RLM_DEBUG", "1")
    assert "Traceback" in rlm("run", "q", "--model", "offline", "-q").err


def test_doctor_tells_names_of_keys_only(rlm: Rlm, monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-shown")
    ended = rlm("doctor", "--json")
    assert ended.code == 0
    report = json.loads(ended.out)
    assert report["ok"] is True
    assert report["home"] == {"path": str(own_home), "ok": True, "problem": None}
    assert report["repl"]["isolation"].startswith("files, network, signals closed")
    assert report["keys"]["OPENAI_API_KEY"] is True
    assert "sk-never-shown" not in ended.out
    text = rlm("doctor").out
    assert "isolation    files, network, signals closed" in text
    assert "sk-never-shown" not in text


def test_doctor_tells_which_rlm_a_shell_starts_and_where_it_is_itself(
    rlm: Rlm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rlm").write_text("#!/bin/sh\n")
    (tmp_path / "rlm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    report = json.loads(rlm("doctor", "--json").out)
    assert report["ok"] is True
    assert report["command"]["paths"][0] == str(tmp_path / "rlm")
    assert "another program" in report["command"]["problem"]
    own = report["versions"]["langgraph-rlm"]
    assert own[0].isdigit()
    assert rlm("--version").out == f"rlm {own}\n"


def test_doctor_fails_where_the_home_cannot_be_written(rlm: Rlm, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    ended = rlm("doctor", "--home", str(tmp_path / "file"))
    assert ended.code == 1
    assert "something fails" in ended.out


@pytest.mark.slow
def test_ctrl_c_prints_the_resume_command_and_the_run_goes_on(rlm: Rlm, served: Any) -> None:
    asked, released = threading.Event(), threading.Event()

    def hang(body: dict[str, Any]) -> str:
        asked.set()
        released.wait(60)
        return "too late"

    served.answer = hang
    process = subprocess.Popen(
        [*COMMAND, "run", "q", "--model", "openai:gpt-5", "--thread", "held"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        released.set()
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1].endswith("rlm resume held")
    assert rlm("log").out.split()[:2] == ["held", "unfinished"]
    served.answer = fenced('answer["content"] = "done"\nanswer["ready"] = True')
    assert rlm("resume", "held", "-q").out == "done\n"


def test_a_question_is_read_from_stdin(rlm: Rlm, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    served.answer = lambda body: '```python\nanswer["content"] = task\nanswer["ready"] = True\n```'
    monkeypatch.setattr(sys, "stdin", io.StringIO("  두 줄의\n질문  \n"))
    assert rlm("run", "-", "--model", "openai:gpt-5", "-q").out == "두 줄의\n질문\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert "question is empty" in only_line(rlm("run", "-", "--model", "openai:gpt-5").err)
    assert "No model is named" in only_line(rlm("run", "-").err)


@pytest.mark.slow
def test_the_demo_holds_what_it_claims(tmp_path: Path) -> None:
    started = time.monotonic()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {**os.environ, "HOME": str(tmp_path / "nobody"), "TMPDIR": str(scratch)}
    done = subprocess.run([*COMMAND, "demo", "--seed", "3"], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "No language model is used" in done.stdout.splitlines()[0]
    assert "recorded replies asked again: 0." in done.stdout
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "nobody").exists()
    assert time.monotonic() - started < 120


def test_a_lost_snapshot_is_one_line_and_rebuilt_without_paying(rlm: Rlm, served: Any) -> None:
    served.answer = fenced("x = [1]\nx.append(x)", 'answer["content"] = repr(x)\nanswer["ready"] = True')
    rlm("run", "질문", "--model", "openai:gpt-5", "--thread", "t", "--budget", "turns=1")
    with Home() as home:
        home.write(lambda connection: connection.execute("DELETE FROM blobs").rowcount).result()
    lost = rlm("resume", "t", "--budget", "turns=+1", "-q")
    assert (lost.code, lost.out) == (1, "")
    assert "is missing" in only_line(lost.err)
    assert "rlm resume t --rebuild" in lost.err
    done = rlm("resume", "t", "--budget", "turns=+1", "--rebuild")
    assert (done.code, done.out) == (0, "[1, [...]]\n")
    assert "rebuilt the variables of 1 turn from the record, each as on record" in done.err
    assert len(served.requests) == 2
