"""`rlm` in a real terminal: the live view, Ctrl-C once and twice, the session that the README shows."""

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openai_server
import pseudo_terminal
import pytest

from rlm_agent.cli.main import main

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"


COMMAND = [sys.executable, "-m", "rlm_agent.cli.main"]
REDRAWN = b"\r\x1b[2K"


def functions(pattern: str) -> int:
    """How many functions the modules define, by the parser."""
    trees = [ast.parse(file.read_text("utf-8")) for file in ROOT.glob(pattern)]
    return sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for tree in trees for node in ast.walk(tree))


@pytest.mark.slow
def test_the_recorded_session() -> None:
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "record_session.py")], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    before, after = done.stdout.split("\n$ rlm resume --last\n")
    live = before[before.index("^C") - 300 :]
    done_so_far = re.search(r"sub-agents (\d+) of (\d+) done", live)
    assert done_so_far is not None
    assert "cost unknown" in live
    assert re.search(r"\ninterrupted; .* Go on: rlm resume \w{12}\n\(exit code 130\)$", before)
    counts = re.search(r"asking (\d+) sub-calls.*; (\d+) more are on record", after)
    assert counts is not None, after
    asked, recorded = map(int, counts.groups())
    assert asked + recorded == int(done_so_far[2])
    assert recorded >= int(done_so_far[1]) > 0
    assert f"\n{functions('rlm_agent/repl/*.py')} functions in " in after
    assert after.endswith("\n(exit code 0)\n")


def test_live_view_without_colours_then_ctrl_c_twice_then_resumed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = iter(['```python\nllm_batch([f"p{n}" for n in range(100)])\n```', openai_server.STALL])
    final = '```python\nanswer["content"] = "done"\nanswer["ready"] = True\n```'

    def answer(body: dict[str, Any]) -> Any:
        if not re.fullmatch(r"p\d+", str(body["messages"][-1]["content"])):
            return next(replies, final)
        time.sleep(0.15)
        return "x"

    with openai_server.serve(answer) as server:
        env = {**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-local", "NO_COLOR": "1"}
        run = [*COMMAND, "run", "질문", "--model", "openai:gpt-5", "--thread", "t", "--budget", "usd=2"]
        with pseudo_terminal.terminal(run, env, columns=80) as shown:
            shown.read_until(r"turn 1, sub-agents \d+ of 100 done, 0:0\d\n  llm_batch")
            shown.read_until(
                r"turn 2, 0:\d\d\n  waiting for the root's reply\n  [\d,]+ tokens, 0\.\d{4} of 2 USD, 100 of"
            )
            seconds = shown.chunks[-1][0] - shown.chunks[0][0]
            assert 2 < shown.raw.count(REDRAWN) <= 4 * seconds + 2
            assert re.search(rb"\x1b\[[\d;]*[34]\d[;m]", shown.raw) is None, "a colour"
            shown.type(pseudo_terminal.CTRL_C)
            time.sleep(0.02)
            shown.type(pseudo_terminal.CTRL_C)
            assert shown.wait(10) == 130
        assert "Go on: rlm resume t" in shown.screen.splitlines()[-1]
        assert "Traceback" not in shown.screen
        paid = len(server.requests)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["rlm", "resume", "t", "--quiet"])
        with pytest.raises(SystemExit):
            main()
        assert capsys.readouterr().out == "done\n"
        assert len(server.requests) == paid + 1, "nothing but the root's second reply was asked for again"
