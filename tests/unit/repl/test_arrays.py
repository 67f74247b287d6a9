"""Arrays keep their memory through pickling: who owns it, who looks at it, its order and whether it may be written."""

from typing import Any

import numpy as np
import pytest

from rlm_agent.repl.dumping import Subject, dump
from rlm_agent.repl.image import Image
from rlm_agent.repl.leaves import Leaves
from rlm_agent.repl.loading import Held, load


def round_trip(value: Any) -> Any:
    """The value pickled and loaded again, large memory aside."""
    namespace: dict[str, Any] = {"value": value}
    image, lost = dump(Subject(namespace, namespace, {"namespace": namespace}), {}, Leaves(), None)
    assert not lost
    assert isinstance(image, Image)
    into: dict[str, Any] = {}
    assert load(image, into, {"namespace": into}.__getitem__, Held()) == []
    return into["value"]


BASES = {
    "C": np.arange(24.0).reshape(4, 6),
    "F": np.asfortranarray(np.arange(24).reshape(4, 6)),
    "structured": np.zeros(6, dtype=[("a", "i4"), ("b", "f8")]),
}
VIEWS = {
    "C": [np.s_[1], np.s_[:, 2], np.s_[::2, 1::3], np.s_[::-1]],
    "F": [np.s_[1], np.s_[:, 2], np.s_[1:3, ::2]],
    "structured": [np.s_[2:], "b"],
}
CASES = [(name, key) for name, keys in VIEWS.items() for key in keys]


@pytest.mark.parametrize(("name", "key"), CASES, ids=str)
def test_a_view_is_a_view_again(name: str, key: Any) -> None:
    base = BASES[name].copy(order="K")
    again, view = round_trip([base, base[key]])
    assert np.array_equal(again, base)
    assert np.array_equal(view, base[key])
    assert view.strides == base[key].strides
    assert np.shares_memory(again, view)
    view[...] = np.zeros((), view.dtype)
    assert np.array_equal(again[key], view)


def test_views_of_one_owner_share_it_even_without_the_owner() -> None:
    first, second = round_trip(list(np.arange(12).reshape(2, 2, 3)))
    assert np.shares_memory(first.base, second.base)


def test_a_read_only_view_stays_so() -> None:
    base = np.arange(6)
    view = base[2:]
    view.flags.writeable = False
    again, kept = round_trip([base, view])
    assert (again.flags.writeable, kept.flags.writeable) == (True, False)


@pytest.mark.parametrize("value", [np.array([{}, []], dtype=object)[1:], np.array(5), np.arange(3)], ids=str)
def test_other_arrays_are_pickled_as_numpy_does(value: Any) -> None:
    assert np.array_equal(round_trip(value), value)
