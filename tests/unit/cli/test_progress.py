"""Which line an event is worth."""

import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_agent.cli.outcome import View
from rlm_agent.cli.progress import Lines, progress
from rlm_agent.cli.spending import Spending
from rlm_agent.settings import Budget
from rlm_agent.store.home import Home


def event(type_: str, turn: int = 1, **data: Any) -> dict[str, Any]:
    return {"type": type_, "version": 1, "seq": 1, "run": "r", "turn": turn, "depth": 0, "at": "", **data}


RUN = [
    event("run.started", 0, thread="t", question=1, isolation='none (sandbox="off")', durable=True, resumed_turns=1),
    event("turn.started", 2),
    event("code", 2, code="\n\nx = 1\x1b[2J\ny = 2\n"),
    event("batch.started", 2, calls=40, replayed=3, tokens=12345, usd=None),
    event("sub_agent.finished", 2, index=0, ok=True, error=None, usage=None),
    event("batch.finished", 2, calls=43, failed=2, replayed=3),
    event("cell.output", 2, text="\x1b[2J", error="Traceback ...\nValueError: \x1b[31mbad\x1b[0m"),
    event("cell.finished", 2, seconds=1.0, ok=False),
    event("variables.lost", 2, variables=[{"name": "lock", "type": "lock", "why": "no"}]),
    event("answer.updated", 2, ready=False, content="par\ntial"),
    event("answer.updated", 2, ready=False, content="par\ntial"),
    event("something.new", 2),
    event("run.finished", 2, stopped_by="turns", ready=False),
]

SAID = [
    'isolation: none (sandbox="off"): run trusted models only',
    "goes on after 1 recorded turn",
    "turn 2: x = 1 (+1 line)",
    "turn 2: asking 40 sub-calls, about 12,345 tokens; 3 more are on record",
    "turn 2: 43 sub-calls answered, 3 of them from the record, 2 failed",
    "turn 2: cell failed: ValueError: bad",
    "turn 2: variables that cannot be saved: lock",
    "turn 2: answer (not ready yet): par tial",
]


@pytest.fixture
def spending(tmp_path: Path) -> Spending:
    return Spending(Home(tmp_path / "h"), Budget())


def test_plain_lines(capsys: pytest.CaptureFixture[str], spending: Spending) -> None:
    with progress(View(), spending) as show:
        for item in RUN:
            show(item)
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", SAID)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str], spending: Spending) -> None:
    with progress(View(quiet=True), spending) as show:
        for item in RUN:
            show(item)
    assert capsys.readouterr() == ("", "")


def test_the_live_view_says_the_same_above_its_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, spending: Spending
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(View(), spending) as show:
        for item in RUN:
            show(item)
    out, err = capsys.readouterr()
    assert out == ""
    for line in SAID:
        assert line in err
    assert "\x1b[2J" not in err


def test_the_status_counts_sub_agents() -> None:
    lines = Lines()
    seen = [lines.status]
    for item in RUN[1:6]:
        lines.of(item)
        seen.append(lines.status)
    counts = [f"turn 2, sub-agents {done} of 40 done" for done in (0, 1)]
    assert seen == ["starting", "turn 2", "turn 2", *counts, "turn 2"]


def test_batches_of_one_wave_are_counted_together() -> None:
    lines = Lines()
    for calls in (3, 4):
        lines.of(event("batch.started", calls=calls, replayed=0, tokens=1, usd=None))
    assert lines.status == "turn 1, sub-agents 0 of 7 done"


def test_what_is_done_is_the_first_line_of_the_cell_or_a_wait() -> None:
    lines = Lines()
    seen = [lines.doing]
    for item in (RUN[1], RUN[2], event("cell.finished", 2, seconds=1.0, ok=True), event("turn.started", 3)):
        lines.of(item)
        seen.append(lines.doing)
    wait = "waiting for the root's reply"
    assert seen == ["", wait, "x = 1", wait, wait]
