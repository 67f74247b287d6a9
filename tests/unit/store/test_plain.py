"""Bytes of plain values: wider than msgpack, canonical when asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_agent.store.plain import canonical, digest, pack, unpack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_value_comes_back(value: object) -> None:
    assert unpack(pack(value)) == value


def test_integers_above_64_bits_and_lone_surrogates_come_back() -> None:
    value = {"big": [10**40, -(10**40)], "odd": "\ud800", "한": "글"}
    assert unpack(pack(value)) == value


def test_canonical_bytes_do_not_depend_on_the_order_of_dicts() -> None:
    assert canonical({"b": [{"y": 1, "x": 2}], "a": 1}) == canonical({"a": 1, "b": [{"x": 2, "y": 1}]})
    assert digest(canonical({"a": 1})) != digest(canonical({"a": 2}))


def test_what_is_not_plain_is_refused() -> None:
    with pytest.raises(TypeError):
        pack({"f": print})
