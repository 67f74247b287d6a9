"""What is spent, as one line."""

import asyncio
from pathlib import Path
from typing import Any

from rlm_agent.budget import Account
from rlm_agent.cli.spending import Spending, spending_line
from rlm_agent.settings import Budget
from rlm_agent.store.home import Home
from rlm_agent.store.records import QuestionRecord, RunRecord, StepRecord


def step(key: str, kind: Any = "root", usd: float | None = 0.25, tokens: int = 1000) -> StepRecord:
    use: dict[str, Any] = {"model": "m", "calls": 1, "input_tokens": tokens, "output_tokens": 5, "usd": usd}
    return StepRecord(key, "r", 1, 1, kind, "root" if kind == "root" else "sub", {}, **use)


def line(budget: Budget, *steps: StepRecord, sub_calls: int = 0) -> str:
    account = Account(budget)
    for one in steps:
        account.add(one)
    account.sub_calls = sub_calls
    return spending_line(account)


def test_each_figure_stands_beside_its_bound() -> None:
    bounded = Budget(tokens=50_000, usd=5.0, sub_calls=2000)
    assert line(bounded) == "0 of 50,000 tokens, 0.0000 of 5 USD"
    spent = line(bounded, step("a"), step("b", usd=0.01), sub_calls=12)
    assert spent == "2,010 of 50,000 tokens, 0.2600 of 5 USD, 12 of 2,000 sub-calls"
    assert line(Budget(sub_calls=None), step("a"), sub_calls=1) == "1,005 tokens, 0.2500 USD, 1 sub-call"


def test_a_price_that_is_not_known_is_not_made_up() -> None:
    assert line(Budget(usd=5.0), step("a"), step("b", usd=None)) == "2,010 tokens, cost unknown"


async def test_it_is_read_from_the_ledger_once_something_happened(tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:
        question = QuestionRecord("r", 1, None, "d", {"id": "m", "text": "q", "content": "q"}, [], None, "", 1, "g")
        await home.runs.create(RunRecord("r", "t", "", "rlm", 1.0), question)
        spending = Spending(home, Budget(usd=5.0))
        assert spending.line == ""
        spending.on_event({"type": "run.started", "run": "r", "question": 1, "depth": 0})
        assert spending.line == "0 tokens, 0.0000 of 5 USD"
        await home.ledger.record(step("k"))
        assert spending.line.startswith("0 tokens"), "read anew without an event"
        spending.on_event({"type": "turn.started"})
        await asyncio.sleep(0.2)  # it reads for a tenth of the time at most
        assert spending.line == "1,005 tokens, 0.2500 of 5 USD"
