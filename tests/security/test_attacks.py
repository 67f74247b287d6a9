"""Hostile cells: each is judged from outside of its host, which it must not have hurt, read, or reached anybody from.

In the default run the attacks of a bare user share one range. With --slow root's do, too, and one in SAMPLE has a range
of its own, with the sandbox and without: what it would have done shows that it is real. Single layers show which of
them stop it. With --exhaustive all have.
"""

from collections import Counter
from typing import Any, get_args

import pytest
from attack import Attack, Breach, catalogue
from ranges import LAYERS, USERS, Ranges

ATTACKS = list(catalogue())
SAMPLE = 48
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
        return _one_of(SAMPLE, number)
    return [pytest.mark.slow] if attack.host_dies or user == "root" else []


def _one_of(many: int, number: int) -> list[Any]:
    return [pytest.mark.exhaustive if number % many else pytest.mark.slow]


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 60
    assert sum(not attack.not_real for attack in ATTACKS) >= 60
    assert all(len(attack.not_real) > 30 for attack in ATTACKS if attack.not_real)


def test_none_is_judged_by_its_own_word() -> None:
    seen_from_outside = {"read", "written", "metadata", "contact", "harm", "left", "held"}
    assert {attack.breach for attack in ATTACKS} == set(get_args(Breach)) == seen_from_outside


def test_no_mechanism_is_counted_often() -> None:
    mechanisms = Counter(attack.mechanism for attack in ATTACKS)
    assert len(mechanisms) >= 60
    assert [mechanism for mechanism, variants in mechanisms.items() if variants > 3] == []
    # Without those that come to nothing anyway, too.
    assert len({attack.mechanism for attack in ATTACKS if not attack.not_real}) >= 60


def test_each_says_which_layers_stop_it() -> None:
    assert all(set(attack.by) <= set(LAYERS) for attack in ATTACKS)
    assert [attack.name for attack in ATTACKS if not attack.by] == [a.name for a in ATTACKS if a.not_real]


def _stopped_by(attack: Attack, user: str) -> str:
    if attack.not_real:
        return "nothing"
    return " ".join(attack.by) if _is_real(attack, user) else "the user"


def _judge(attack: Attack, user: str, verdict: dict[str, Any], results: Results) -> None:
    if verdict["isolation"].startswith("none"):
        pytest.skip(f"isolation: {verdict['isolation']}")
    results[attack.name, user] = "breach" if verdict["breaches"] else _stopped_by(attack, user)
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
    assert _successes(attack, verdict), verdict


def _successes(attack: Attack, verdict: dict[str, Any]) -> list[str]:
    return [what for kind, what in verdict["breaches"] if kind == attack.breach and attack.holds in what]


def _layer_cases() -> list[Any]:
    cases = [(attack, layer) for attack in ATTACKS for layer in attack.by]
    return [
        pytest.param(attack, layer, id=f"{attack.name}-{layer}", marks=_one_of(2 * SAMPLE, number))
        for number, (attack, layer) in enumerate(cases)
    ]


@pytest.mark.parametrize(("attack", "layer"), _layer_cases())
def test_the_layer_stops_it(attack: Attack, layer: str, ranges: Ranges) -> None:
    """The sandbox has this layer and what it needs; then only what it needs."""
    user, needed = attack.succeeds_when_off or "bare", LAYERS[layer]
    verdict = ranges.alone(attack, user, "auto", (*needed, layer))
    if verdict["isolation"].startswith("none") and layer != "privileges":
        pytest.skip(f"isolation: {verdict['isolation']}")
    assert _successes(attack, verdict) == [], verdict
    without = ranges.alone(attack, user, "auto", needed)
    assert _successes(attack, without), without
