"""The JSON value in what a model wrote."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_agent.sub_agents.json_text import parse_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (' [1, "둘"]\n', [1, "둘"]),
        ("3.5", 3.5),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("As asked:\n```\n[1]\n```\nDone.", [1]),
        ('```{"a": 1}```', {"a": 1}),
        ('The result is {"a": [1, 2]}, see [1].', {"a": [1, 2]}),
        ("It is [1, 2].", [1, 2]),
        ('{"a": "line\nline"}', {"a": "line\nline"}),
        ('Use {braces}: {"code": "```x```"}', {"code": "```x```"}),
    ],
)
def test_the_value_is_found(text: str, value: object) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no value", "no JSON value"),
        ("", "no JSON value"),
        ("{'a': 1}", "no JSON value"),
        ('{"a": NaN}', "no JSON value"),
        ('"\\ud800"', "no JSON value"),
        ('{"a": 1} or {"a": 2}', "2 JSON values"),
        ("```json\n1\n```\n```json\n2\n```", "2 JSON values"),
        ("[" * 100_000, "no JSON value"),
        ("{" * 100_000, "no JSON value"),
        ("9" * 5000, "no JSON value"),
    ],
)
def test_none_or_two_are_refused_soon(text: str, says: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match=says) as caught:
        parse_json(text)
    assert time.monotonic() - started < 2
    assert len(str(caught.value)) < 300


@given(JSON)
def test_any_value_comes_back(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(f"```json\n{json.dumps(value, indent=1)}\n```") == value
