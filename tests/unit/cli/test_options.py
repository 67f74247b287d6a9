"""Budgets as they are written on a command line."""

import pytest

from rlm_agent.cli.options import named_model, parse_budget
from rlm_agent.errors import ConfigError
from rlm_agent.settings import Budget


def test_items_replace_bounds_and_name_themselves() -> None:
    budget, given = parse_budget(["usd=2.5, turns=7", "sub_calls=none"], Budget())
    assert budget == Budget(usd=2.5, turns=7, sub_calls=None)
    assert given == {"usd", "turns", "sub_calls"}
    assert parse_budget(None, Budget(usd=1)) == (Budget(usd=1), set())


def test_plus_adds_to_the_bound_that_is_there() -> None:
    budget, _ = parse_budget(["usd=+10", "turns=+1"], Budget(usd=5, turns=50))
    assert (budget.usd, budget.turns) == (15, 51)
    assert isinstance(budget.turns, int)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("usd", "name=value"),
        ("euros=1", "usd"),
        ("usd=x", "number"),
        ("usd=nan", "number"),
        ("usd=inf", "number"),
        ("usd=-1", "0 or more"),
        ("turns=1.5", "whole"),
        ("usd=+1", "no bound to add to"),
        ("turns=", "number"),
    ],
)
def test_what_is_no_bound_is_refused(item: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--budget") as refused:
        parse_budget([item], Budget())
    assert said in str(refused.value)


def test_model_by_option_then_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_MODEL", "offline")
    assert (named_model("openai:gpt-5"), named_model(None)) == ("openai:gpt-5", "offline")
    monkeypatch.delenv("RLM_MODEL")
    with pytest.raises(ConfigError, match="RLM_MODEL"):
        named_model(None)
