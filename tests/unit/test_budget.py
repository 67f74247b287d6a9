"""The account of a question: what is counted, what is refused, what is told."""

from dataclasses import dataclass

import pytest

from rlm_agent.budget import Account
from rlm_agent.settings import Budget


@dataclass
class Row:
    role: str = "sub"
    model: str = "m"
    calls: int = 1
    input_tokens: int = 10
    output_tokens: int = 5
    cached_tokens: int = 2
    usd: float | None = 0.5


def test_a_fold_by_role_and_model() -> None:
    account = Account(Budget())
    for row in (Row(role="root", model="big"), Row(), Row(model="other")):
        account.add(row)
    report = account.report()
    assert report["root"]["calls"] == 1
    assert report["sub"] == {"calls": 2, "input_tokens": 20, "output_tokens": 10, "cached_tokens": 4, "usd": 1.0}
    assert report["total"]["usd"] == 1.5
    assert set(report["by_model"]) == {"big", "m", "other"}


def test_an_unknown_price_makes_the_sum_unknown_never_zero() -> None:
    account = Account(Budget(usd=1))
    account.add(Row(usd=None))
    account.add(Row(usd=0.4))
    assert account.report()["total"]["usd"] is None
    assert account.known_usd == 0.4


def test_rows_without_calls_are_not_counted() -> None:
    account = Account(Budget())
    account.add(Row(calls=0))
    assert account.report()["total"]["calls"] == 0


@pytest.mark.parametrize(
    ("budget", "role", "turns", "bound"),
    [
        (Budget(turns=3), "root", 3, "turns"),
        (Budget(turns=3), "root", 2, None),
        (Budget(tokens=15), "root", 0, "tokens"),
        (Budget(root_tokens=0), "root", 0, "root_tokens"),
        (Budget(root_tokens=0), "sub", 0, None),
        (Budget(sub_tokens=15), "sub", 0, "sub_tokens"),
        (Budget(usd=0.5), "sub", 0, "usd"),
        (Budget(seconds=0), "root", 0, "seconds"),
        (Budget(turns=None, sub_calls=None), "root", 10**6, None),
    ],
)
def test_the_bound_that_forbids_the_next_call(budget: Budget, role: str, turns: int, bound: str | None) -> None:
    account = Account(budget)
    account.add(Row())
    assert account.exhausted(role, turns) == bound


def test_a_batch_is_refused_with_the_numbers() -> None:
    account = Account(Budget(sub_calls=10), sub_calls=4)
    assert account.refusal(6) is None
    text = account.refusal(7)
    assert text is not None
    assert "7 sub-calls" in text
    assert "6 of 10" in text


def test_what_is_left_is_told_for_bounds_only() -> None:
    account = Account(Budget(tokens=100, turns=50, sub_calls=None))
    account.add(Row())
    assert account.left_line(turns=2) == "tokens 85 of 100, turns 48 of 50"


def test_seconds_go_on_from_earlier_entries() -> None:
    account = Account(Budget(seconds=60), seconds_before=59.9999)
    assert account.seconds >= 59.9999
