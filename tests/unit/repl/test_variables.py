"""The listing is cheap and never fails."""

import time
from typing import Any

import numpy as np
import pytest

from rlm_agent.repl.lost import Lost
from rlm_agent.repl.variables import PREVIEW, listing, table


class Rude:
    @property
    def shape(self) -> Any:
        raise ValueError("no")

    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "kind", "shape", "preview"),
    [
        (7, "int", None, "7"),
        ("글" * 1000, "str", [1000], None),
        ({"a": [1, 2]}, "dict", [1], "{'a': [1, 2]}"),
        (np.zeros((100, 200)), "numpy.ndarray", [100, 200], "array of float64, shape (100, 200)"),
        (np.float64(2.5), "numpy.float64", [], "np.float64(2.5)"),
        (Rude(), None, None, None),
        (object(), "object", None, "<object object>"),
        (list(range(1000)), "list", [1000], "[0, 1, 2, 3, 4, 5, ...]"),
    ],
)
def test_one_entry_a_variable(value: Any, kind: str | None, shape: list[int] | None, preview: str | None) -> None:
    (entry,) = listing({"이름": value})
    assert entry["name"] == "이름"
    assert kind in (None, entry["type"])
    assert entry["shape"] == shape
    assert preview in (None, entry["preview"])
    assert len(entry["preview"]) <= PREVIEW
    assert not entry["lost"]


def test_sizes_are_near_the_truth_and_quick() -> None:
    values = {"rows": [{"key": "x" * 100, "number": n} for n in range(200_000)], "array": np.zeros(1_000_000)}
    began = time.monotonic()
    rows, array = listing(values)
    assert time.monotonic() - began < 0.5
    assert 50_000_000 < rows["size_bytes"] < 120_000_000
    assert array["size_bytes"] == 8_000_000


def test_what_is_lost_is_marked() -> None:
    gone, partly = listing({"gone": Lost("socket.socket", "닫힘"), "partly": [1]}, frozenset({"partly"}))
    assert (gone["type"], gone["lost"], partly["lost"]) == ("socket.socket", True, True)


def test_the_table_has_a_line_a_variable() -> None:
    assert table({}) == "no variables yet"
    lines = table({"x": 1, "long_name": "값"}).splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["name", "type", "bytes", "value"]
    assert repr(table({"x": 1})) == str(table({"x": 1}))


def test_a_module_is_told_without_its_place() -> None:
    import collections

    (row,) = listing({"c": collections})
    assert row["preview"] == "<module 'collections'>"
