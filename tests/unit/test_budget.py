"""The account of a question: what is counted, what is refused, what is told."""

from dataclasses import dataclass

import pytest

from rlm_agent.budget import Account, Estimate, Unaffordable
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


def test_what_is_set_aside_is_not_given_twice() -> None:
    account, call = Account(Budget(tokens=100)), Estimate(40, None)
    assert [account.reserve("sub", call) for _ in range(3)] == [True, True, False]
    account.release("sub", call)
    account.add(Row(input_tokens=10, output_tokens=0))
    assert account.reserve("sub", call), "the call took less than was set aside for it"
    assert account.reserved == {"sub": 80}


def test_a_call_that_fits_beside_nothing_is_refused_with_the_numbers() -> None:
    account = Account(Budget(tokens=100))
    account.add(Row(input_tokens=50, output_tokens=15))
    with pytest.raises(Unaffordable, match=r"not sent: the call needs about 40 tokens, 35 of 100 are left") as caught:
        account.reserve("sub", Estimate(40, None))
    assert (caught.value.bound, account.denied) == ("tokens", None)
    with pytest.raises(Unaffordable):
        account.reserve("root", Estimate(40, None))
    assert account.denied == "tokens"
    assert account.reserve("sub", Estimate(35, None)), "to the last token"


@pytest.mark.parametrize(
    ("budget", "bound"),
    [
        (Budget(usd=1.0), "usd"),
        (Budget(sub_tokens=100), "sub_tokens"),
        (Budget(root_tokens=1), None),
        (Budget(sub_calls=0), None),
    ],
)
def test_each_bound_is_that_of_its_calls(budget: Budget, bound: str | None) -> None:
    account = Account(budget)
    if bound is None:
        assert account.reserve("sub", Estimate(101, 1.5))
        return
    with pytest.raises(Unaffordable) as caught:
        account.reserve("sub", Estimate(101, 1.5))
    assert caught.value.bound == bound


def test_an_unknown_price_sets_no_dollars_aside() -> None:
    account = Account(Budget(usd=0.1))
    assert account.reserve("sub", Estimate(10**9, None))
    assert account.reserved_usd == 0


def test_dollars_set_aside_leave_no_dust() -> None:
    account, call = Account(Budget(usd=0.3)), Estimate(1, 0.1)
    assert [account.reserve("sub", call) for _ in range(2)] == [True, True]
    for _ in range(2):
        account.release("sub", call)
    assert account.reserved_usd == 0.0


def test_a_usual_reply_is_learnt_from_those_on_record() -> None:
    account = Account(Budget())
    start = account.mean_output("sub", "m")
    for _ in range(40):
        account.add(Row(output_tokens=5000))
    assert (start, account.mean_output("sub", "m") > 4000) == (500, True)
    assert account.mean_output("root", "m") == start


def test_a_batch_is_judged_by_tokens_and_dollars_too() -> None:
    account = Account(Budget(tokens=1000, usd=2.0))
    account.add(Row(input_tokens=300, output_tokens=0, usd=0.5))
    assert account.refusal(3, Estimate(700, 1.5)) is None
    text = account.refusal(3, Estimate(701, 0.1))
    assert text == "nothing was sent: this batch needs about 701 tokens, 700 of 1000 are left of tokens. Ask for less."
    assert "needs about 1.6000 USD, 1.5 of 2 are left of usd" in str(account.refusal(3, Estimate(1, 1.6)))


def test_a_bound_is_low_once_and_again_when_it_was_raised() -> None:
    account = Account(Budget(tokens=100, turns=5, sub_calls=None))
    account.add(Row(input_tokens=79, output_tokens=0))
    assert account.newly_low(turns=3) == []
    account.add(Row(input_tokens=1, output_tokens=0))
    assert account.newly_low(turns=4) == [("tokens", 80, 100), ("turns", 4, 5)]
    assert account.newly_low(turns=5) == []
    account.budget = Budget(tokens=101, turns=5, sub_calls=None)
    account.add(Row(input_tokens=10, output_tokens=0))
    assert account.newly_low(turns=5) == [("tokens", 90, 101)]
