"""A home and plain records for the tests of the store."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlm_agent.store.home import Home
from rlm_agent.store.records import BatchRecord, CellRecord, QuestionRecord, RunRecord, StepRecord, TurnRecord

Make = Callable[..., Any]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def make_step() -> Make:
    base = StepRecord(
        "key",
        "run",
        1,
        1,
        "model",
        "sub",
        {"text": "안녕하세요"},
        "m",
        calls=1,
        input_tokens=10,
        output_tokens=2,
        usd=0.5,
    )
    return lambda key="key", **changes: replace(base, key=key, **changes)


@pytest.fixture
def make_run() -> Make:
    base = RunRecord("run", "thread", "", "rlm", 1.0)
    return lambda id="run", **changes: replace(base, id=id, **changes)


@pytest.fixture
def make_question() -> Make:
    base = QuestionRecord(
        run="run",
        number=1,
        find_key="find",
        digest="d",
        message={"id": "m1", "text": "무엇?", "content": [{"type": "text", "text": "무엇?"}]},
        earlier=[{"role": "user", "content": "hi"}],
        context=None,
        context_digest="",
        first_turn=1,
        genesis="g",
        created=1.0,
    )
    return lambda number=1, **changes: replace(base, number=number, **changes)


@pytest.fixture
def make_turn() -> Make:
    base = TurnRecord(
        id="",
        run="run",
        number=1,
        question=1,
        parent=None,
        lineage_before="g",
        lineage="l1",
        reply_key="k",
        reply="```python\nprint('가')\n```",
        reasoning="",
        code="print('가')",
        cells=(CellRecord("print('가')", None, 0.1),),
        output="가",
        output_ref=None,
        shown="가",
        error=None,
        seconds=0.1,
        batches=(BatchRecord(3, 1, 0, 0.5),),
        false_starts=(("reply", "reminder"),),
        answer={"content": "", "ready": False},
        snapshot=None,
        variables=({"name": "x", "type": "int"},),
        lost=(),
    )
    return lambda number=1, **changes: replace(base, number=number, **changes)
