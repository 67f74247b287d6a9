"""Hostile cells: each is judged from outside of its host, which it must not have hurt, read, or reached anybody from.

In the default run the attacks of a bare user share one range. With --slow root's do, too, and one in SAMPLE has a range
of its own, with the sandbox and without: what it would have done shows that it is real. With --exhaustive all have.
"""

from typing import Any

import pytest
from attack import Attack, catalogue
from ranges import USERS, Ranges, layer

ATTACKS = list(catalogue())
SAMPLE = 16
Results = dict[tuple[str, str], str]


def _cases(*, alone: bool, real: bool = False) -> list[Any]:
    """All attacks as both users, or those that succeed where there is no sandbox."""
    cases = [(attack, user) for user in USERS for attack in ATTACKS if not real or _is_real(attack, user)]
    return [
        pytest.param(attack, user, id=f"{attack.name}-{user}", marks=_marks(attack, user, number, alone))
        for number, (attack, user) in enumerate(cases)
    ]


def _is_real(attack: Attack, user: str) -> bool:
    return not attack.not_real and not (attack.succeeds_when_off == "root" and user == "bare")


def _marks(attack: Attack, user: str, number: int, alone: bool) -> list[Any]:
    if alone:
        return [pytest.mark.exhaustive if number % SAMPLE else pytest.mark.slow]
    return [pytest.mark.slow] if attack.host_dies or user == "root" else []


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 60
    assert sum(not attack.not_real for attack in ATTACKS) >= 60
    assert all(len(attack.not_real) > 30 for attack in ATTACKS if attack.not_real)


def _judge(attack: Attack, user: str, verdict: dict[str, Any], results: Results) -> None:
    if verdict["isolation"].startswith("none"):
        pytest.skip(f"isolation: {verdict['isolation']}")
    results[attack.name, user] = "breach" if verdict["breaches"] else layer(verdict)
    assert verdict["breaches"] == [], verdict["told"]
    assert "NameError" not in (verdict["told"].get("error") or ""), "the attack itself is broken"


@pytest.mark.parametrize(("attack", "user"), _cases(alone=False))
def test_a_cell_cannot(attack: Attack, user: str, ranges: Ranges, results: Results) -> None:
    _judge(attack, user, ranges.batched(attack, ATTACKS, user, "auto"), results)


@pytest.mark.parametrize(("attack", "user"), _cases(alone=True))
def test_a_cell_alone_cannot(attack: Attack, user: str, ranges: Ranges, results: Results) -> None:
    _judge(attack, user, ranges.alone(attack, user, "auto"), results)


@pytest.mark.parametrize(("attack", "user"), _cases(alone=True, real=True))
def test_it_is_real(attack: Attack, user: str, ranges: Ranges) -> None:
    verdict = ranges.alone(attack, user, "off")
    assert [what for kind, what in verdict["breaches"] if kind == attack.breach and attack.holds in what], verdict
