"""The events as JSON lines."""

import json
from typing import Any

import pytest

from rlm_agent.cli.json_lines import JsonLines

RESULT: dict[str, Any] = {
    "content": {"답": 1},
    "ready": True,
    "stopped_by": "ready",
    "usage": {"total": {"calls": 1}},
    "turns": 2,
    "run": "r",
    "durable": True,
}
PLAIN = {"thread": "t", "answer": {"답": 1}, "ready": True, "stopped_by": "ready", "usage": {"total": {"calls": 1}}}


def event(type_: str, seq: int, depth: int = 0, **data: Any) -> dict[str, Any]:
    return {"type": type_, "version": 1, "seq": seq, "run": "r", "turn": 2, "depth": depth, "at": "", **data}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_last_event_waits_for_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    out = JsonLines("t")
    out.event(event("turn.started", 1))
    out.event(event("run.finished", 2, depth=1))
    out.event(event("run.finished", 3, stopped_by="ready", ready=True))
    assert [line["seq"] for line in lines(capsys)] == [1, 2]
    out.end(RESULT)
    assert lines(capsys) == [{**event("run.finished", 3), **PLAIN, "turns": 2}]


def test_a_recorded_answer_is_one_event(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines("t").end(RESULT)
    (line,) = lines(capsys)
    assert (line["type"], line["seq"], line["run"], line["turns"]) == ("run.finished", 1, "r", 2)
    assert {name: line[name] for name in PLAIN} == PLAIN
