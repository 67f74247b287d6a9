"""Argument types: what a model may hand to a host function."""

import datetime
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from rlm_agent.host_functions.calling import call_function, wrong_arguments


def find(name: str, limit: int = 5, *, kinds: list[str] | None = None) -> Any:
    return [name, limit, kinds]


def total(*numbers: float, **named: int) -> Any:
    return sum(numbers) + sum(named.values())


def choose(which: Literal["a", "b"], pair: tuple[int, int] = (1, 2), day: datetime.date | None = None) -> Any:
    return [which, list(pair), str(day)]


def anything(value, other: Any = None, own: "Unknown" = None) -> Any:  # type: ignore[no-untyped-def]  # noqa: F821
    return str(value)


class Own:
    pass


def of_own_types(own: Own, back: Callable[[], None] | None = None) -> Any:
    return type(own).__name__


class Model(BaseModel):
    x: int


def takes_model(model: Model) -> Any:
    return model["x"]  # type: ignore[index]


def one_unknown(count: int, own: "Unknown" = None) -> Any:  # type: ignore[no-untyped-def]  # noqa: F821
    return count


def of_bytes(data: bytes, parts: list[bytes] | None = None) -> Any:
    return len(data)


@dataclass  # which has no hash
class Counter:
    start: int

    def __call__(self, more: int) -> int:
        return self.start + more

    def add(self, more: "int") -> int:
        return self.start + more


def doubled(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return 2 * function(*args, **kwargs)

    return wrapper


@doubled
def decorated(count: int) -> int:
    return count


part = functools.partial(find, limit=3)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "value"),
    [
        (find, ["가"], {"kinds": ["b"]}, ["가", 5, ["b"]]),
        (find, ["a", 2], {}, ["a", 2, None]),
        (total, [1, 2.5], {"x": 3}, 6.5),
        (choose, ["a", [3, 4]], {"day": "2026-01-02"}, ["a", [3, 4], "2026-01-02"]),
        (anything, [b"x"], {}, "b'x'"),
        (anything, [{"a": 1}, 7, 8], {}, "{'a': 1}"),
        (of_own_types, ["text"], {}, "str"),
        (takes_model, [{"x": 3}], {}, 3),
        (one_unknown, [1, 7], {}, 1),
        (of_bytes, [b"abc"], {"parts": [b"x"]}, 3),
        (part, ["a"], {"kinds": ["b"]}, ["a", 3, ["b"]]),
        (Counter(1), [2], {}, 3),
        (Counter(1).add, [2], {}, 3),
        (decorated, [2], {}, 4),
    ],
)
async def test_what_fits_is_handed_over_as_it_came(function: Any, args: Any, kwargs: Any, value: Any) -> None:
    assert wrong_arguments(function, args, kwargs) is None
    assert await call_function(function, args, kwargs) == {"ok": True, "value": value}


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "words"),
    [
        (find, [7], {}, "name"),
        (find, [["a"]], {}, "name"),
        (find, [{"__class__": "x"}], {}, "name"),
        (find, ["a", "5; rm"], {}, "limit"),
        (find, ["a", True], {}, "limit"),
        (find, ["a"], {"kinds": [1]}, "kinds: [0]"),
        (find, ["a"], {"kinds": "a"}, "kinds"),
        (find, [], {}, "missing"),
        (find, ["a", 1, 2], {}, "too many"),
        (find, ["a"], {"self": 1}, "unexpected"),
        (total, [1, "2"], {}, "numbers"),
        (total, [], {"x": 1.5}, "named"),
        (choose, ["c"], {}, "which"),
        (choose, ["a", [1]], {}, "pair"),
        (takes_model, [{"x": "3"}], {}, "model: ['x']"),
        (one_unknown, ["1"], {}, "count"),
        (find, [b"a"], {}, "name"),
        (find, ["a"], {"kinds": [b"b"]}, "kinds: [0]"),
        (part, [7], {}, "name"),
        (part, ["a"], {"limit": "3"}, "limit"),
        (Counter(1), ["2"], {}, "more"),
        (Counter(1).add, ["2"], {}, "more"),
        (decorated, ["2"], {}, "count"),
    ],
)
def test_what_does_not_fit_is_an_error_that_the_root_reads(function: Any, args: Any, kwargs: Any, words: str) -> None:
    error = wrong_arguments(function, args, kwargs)
    assert error is not None
    assert error.startswith("TypeError: ")
    assert words in error
