"""What may cross between a cell and its host."""

from typing import Any

import msgpack
import pytest

from rlm_agent.repl.plain import DEEPEST, problem


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [None, {"키": [1, 2.5, True, b"x", ("y", {})]}, [], nested(DEEPEST), 2**70])
def test_plain_data_has_no_problem(value: Any) -> None:
    assert problem(value) == ""


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({1: 2}, "int"),
        ([{"a": {b"b": 1}}], "bytes"),
        ({None: 1}, "NoneType"),
        ({"": 1, ("a",): 2}, "tuple"),
        ([object()], "object"),
        ({"a": msgpack.ExtType(1, b"")}, "ExtType"),
        (msgpack.Timestamp(1), "Timestamp"),
        (nested(DEEPEST + 1), "deep"),
        (nested(100_000), "deep"),
    ],
)
def test_what_is_not_is_named(value: Any, word: str) -> None:
    assert word in problem(value)
