"""TypedDicts of every Python are read alike."""

import sys
import typing
from typing import Any, Optional

import pytest
import typing_extensions
from pydantic import TypeAdapter

from rlm_agent.sub_agents.typed_dicts import is_typed_dict, modern


class Inner(typing.TypedDict):
    a: int


class Outer(typing.TypedDict, total=False):
    inner: typing.Required[Inner]
    either: Optional[Inner] | list[dict[str, Inner]]  # noqa: UP045
    pair: tuple[Inner, int]


class Loop(typing.TypedDict):
    again: "list[Loop]"


def test_what_is_a_typed_dict() -> None:
    assert is_typed_dict(Inner)
    assert is_typed_dict(typing_extensions.TypedDict("T", {"a": int}))
    assert not is_typed_dict(dict)
    assert not is_typed_dict({"a": int})


def test_inner_ones_are_rebuilt_wherever_they_stand() -> None:
    adapter = TypeAdapter[Any](modern(Outer))
    assert adapter.json_schema()["required"] == ["inner"]
    assert adapter.validate_python({"inner": {"a": 1}, "either": [{"x": {"a": 2}}], "pair": ({"a": 3}, 4)})


def test_other_types_stay() -> None:
    assert modern(int) is int
    assert modern(list[int]) == list[int]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic reads typing.TypedDict itself there")
def test_one_that_holds_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="Loop holds itself"):
        modern(Loop)
