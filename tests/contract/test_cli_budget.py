"""Dollars on the command line: a run that they stop says so, and goes on with `rlm resume --budget usd=+10`."""

import json
from typing import Any

import openai_server
import pytest
from command_line import Rlm

CELLS = ("x = 41", 'answer["content"] = x + 1\nanswer["ready"] = True')
USAGE = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}


def reply(body: dict[str, Any]) -> str:
    turns = sum(message["role"] == "assistant" for message in body["messages"])
    return f"```python\n{CELLS[min(turns, 1)]}\n```"


def test_a_run_that_dollars_stopped_is_resumed_with_more_of_them(rlm: Rlm, monkeypatch: pytest.MonkeyPatch) -> None:
    with openai_server.serve(reply) as server:
        server.usage = USAGE  # 0.0125 USD a call of gpt-4o
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-local-0123456789")
        options = ("--model", "openai:gpt-4o", "--thread", "t", "--budget", "usd=0.015", "--json")
        stopped = rlm("run", "q", *options)
        assert (stopped.code, len(server.requests)) == (3, 1), stopped.err
        found = json.loads(stopped.out)
        assert (found["ready"], found["stopped_by"]) == (False, "budget")
        assert found["usage"]["total"]["usd"] == pytest.approx(0.0125)
        assert "--budget usd=+" in stopped.err
        again = rlm("resume", "t", "--json")
        assert (again.code, len(server.requests)) == (3, 1)
        done = rlm("resume", "t", "--budget", "usd=+10", "--json")
        assert done.code == 0, done.err
        found = json.loads(done.out)
        assert (found["answer"], found["ready"], found["turns"]) == (42, True, 2)
        assert found["usage"]["total"]["usd"] == pytest.approx(0.025)
        assert len(server.requests) == 2
