"""The command `rlm` as its users meet it: exit codes, what goes to stdout and stderr, resume, over real HTTP.

Commands run in this process through `main()`, which spares each its imports, save where the process itself is the
matter: what importing costs, Ctrl-C, the demo.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rlm_agent.cli.main import main

_path = Path(__file__).parents[1] / "support" / "openai_server.py"
_spec = importlib.util.spec_from_file_location("openai_server_of_cli", _path)
assert _spec is not None
assert _spec.loader is not None
openai_server = importlib.util.module_from_spec(_spec)
sys.modules["openai_server_of_cli"] = openai_server
_spec.loader.exec_module(openai_server)

QUESTION = "Which module defines the class ThreadPoolExecutor?"
COMMAND = [sys.executable, "-m", "rlm_agent.cli.main"]


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Rlm = Callable[..., Ended]


@pytest.fixture
def rlm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rlm:
    """Runs one command to its end."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rlm", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


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
    for said in (f"rlm resume {thread}", "No language model is used", "5 USD", "isolation: none yet"):
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
        (("run", "q", "--model", "offline", "--context", "a", "--context", "b"), ("--context", "directory")),
        (("run", " ", "--model", "offline"), ("question is empty",)),
        (("run", "q", "--model", "offline", "--budget", "euros=5"), ("euros", "usd")),
        (("run", "q", "--model", "offline", "--budget", "usd=+5"), ("rlm resume",)),
        (("resume", "nobody"), ("nobody", "rlm log")),
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
    ended = rlm("run", "q", "--tool", "web")
    assert (ended.code, ended.out) == (2, "")
    assert "--tool" in ended.err


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
    assert report["repl"]["isolation"] == "none yet"
    assert report["keys"]["OPENAI_API_KEY"] is True
    assert "sk-never-shown" not in ended.out
    text = rlm("doctor").out
    assert "isolation:   none yet" in text
    assert "sk-never-shown" not in text


def test_doctor_fails_where_the_home_cannot_be_written(rlm: Rlm, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    ended = rlm("doctor", "--home", str(tmp_path / "file"))
    assert ended.code == 1
    assert "something fails" in ended.out


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


def test_a_question_is_read_from_stdin() -> None:
    done = subprocess.run([*COMMAND, "run", "-"], input="", capture_output=True, text=True)
    assert done.returncode == 2
    assert "No model is named" in only_line(done.stderr)


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
