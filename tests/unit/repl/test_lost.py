"""A tombstone says what was there, and no use of it passes for a value."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from rlm_agent.repl.lost import Lost, LostError, reason

LOST = Lost("generator", "닫힘")


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x(),
        lambda x: x.name,
        lambda x: x[0],
        lambda x: list(x),
        lambda x: next(x),
        lambda x: len(x),
        lambda x: bool(x),
        lambda x: x + 1,
        lambda x: 1 + x,
        lambda x: -x,
        lambda x: x < 1,
        lambda x: 1 in x,
        lambda x: int(x),
        lambda x: float(x),
        lambda x: setattr(x, "name", 1),
        lambda x: x.__enter__(),
        lambda x: "a" * x,
        lambda x: [1][x],
    ],
)
def test_every_use_raises(use: Callable[[Any], Any]) -> None:
    with pytest.raises(LostError, match=r"a generator\) was lost .*닫힘"):
        use(LOST)


def test_it_can_be_shown_kept_and_saved() -> None:
    assert repr(LOST) == str(LOST) == "<lost generator: 닫힘>"
    assert f"{LOST}" == "<lost generator: 닫힘>"
    assert reason(pickle.loads(pickle.dumps(LOST))) == ("generator", "닫힘")
    assert reason(copy.copy(LOST)) == ("generator", "닫힘")
    assert LOST in [LOST]
    assert hash(LOST)
    assert not hasattr(LOST, "__iter_not__")
