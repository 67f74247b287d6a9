"""Whatever a hostile worker says is a value or a KernelError."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_agent.errors import KernelError
from rlm_agent.repl.kernel import MOST_READINGS, CellDone
from rlm_agent.repl.manifest import Manifest
from rlm_agent.repl.protocol import Asked, Saved, parse_event, parse_saving, parse_starting

ANSWER = {"content": '"답"', "ready": True}
DONE = {"op": "done", "output": "x", "error": None, "error_kind": None, "answer": ANSWER, "clock": [5]}
ASK = {"op": "request", "id": 1, "kind": "llm", "running": 0, "clock": [1, 2], "calls": [{"prompt": "p"}]}
CALL = {
    "op": "request",
    "id": 1,
    "kind": "function",
    "running": 0,
    "clock": [],
    "name": "f",
    "args": [1],
    "kwargs": {"k": 2},
}
LOSS = {"name": "n", "type": "t", "why": "w"}
VARIABLE = {"name": "n", "type": "t", "size_bytes": 1, "shape": None, "preview": "p", "lost": False}
MANIFEST = Manifest("3.11", b"k" * 64, b"body").encode()
SNAPSHOT = {"op": "snapshot", "manifest": MANIFEST, "variables": [VARIABLE], "lost": [LOSS], "seconds": 0.1}

LEAVES = {"op": "leaves", "leaves": [b"x"]}


def test_what_a_good_worker_says() -> None:
    done = parse_event(DONE)
    assert isinstance(done, CellDone)
    assert done.answer == {"content": "답", "ready": True}
    assert done.readings == (5,)
    asked, call = parse_event(ASK), parse_event(CALL)
    assert isinstance(asked, Asked)
    assert asked.request.calls == ({"prompt": "p"},)
    assert asked.readings == (1, 2)
    assert isinstance(call, Asked)
    assert (call.request.name, call.request.args, call.request.kwargs) == ("f", (1,), {"k": 2})
    assert parse_starting({"op": "started", "lost": [LOSS]}) == (LOSS,)
    assert parse_starting({"op": "fetch", "keys": [b"\x01\xff"]}) == ["01ff"]
    saved = parse_saving(SNAPSHOT)
    assert isinstance(saved, Saved)
    assert saved.variables == (VARIABLE,)
    assert saved.keys == [b"k".hex() * 32] * 2
    assert parse_saving({"op": "leaves", "leaves": [b"\x00a"]}) == [b"\x00a"]


@pytest.mark.parametrize(
    "message",
    [
        None,
        7,
        {},
        {"op": ["done"]},
        {"op": "started"},
        {**DONE, "output": 1},
        {**DONE, "clock": None},
        {**DONE, "clock": [1.5]},
        {**DONE, "clock": [True]},
        {**DONE, "clock": [1 << 63]},
        {**ASK, "clock": [0] * (MOST_READINGS + 1)},
        {**DONE, "error": 1},
        {**DONE, "error_kind": "bored"},
        {**DONE, "error_kind": []},
        {**DONE, "answer": None},
        {**DONE, "answer": {"content": "{", "ready": True}},
        {**DONE, "answer": {"content": "[" * 100_000, "ready": True}},
        {**DONE, "answer": {"content": "1", "ready": 1}},
        {**ASK, "id": "1"},
        {**ASK, "id": True},
        {**ASK, "kind": "exec"},
        {**ASK, "calls": []},
        {**ASK, "calls": [{"prompt": 1}]},
        {**ASK, "calls": [None]},
        {**ASK, "calls": [{"prompt": ""}] * 100_001},
        {**CALL, "args": None},
        {**CALL, "kwargs": {1: 2}},
        {**CALL, "name": None},
        {**CALL, "args": [{1: 2, "a": 3}]},
        {**CALL, "kwargs": {"k": [{b"k": 1}]}},
        {**CALL, "args": [msgpack.Timestamp(1)]},
        {**CALL, "args": [msgpack.ExtType(1, b"x")]},
        {**ASK, "calls": [{"prompt": "p", "schema": {1: 2, "a": 3}}]},
        {**DONE, "answer": {"content": "[" + "[]," * (6 << 20) + "[]]", "ready": True}},
        {"op": "fault", "error": 1},
        {"op": "fault", "error": "깨짐"},
    ],
)
def test_nonsense_in_a_cell_is_a_kernel_error(message: Any) -> None:
    with pytest.raises(KernelError):
        parse_event(message)


@pytest.mark.parametrize(
    "change",
    [
        {"manifest": "x"},
        {"manifest": b"x"},
        {"manifest": msgpack.packb([2, "3.11", b"short", b""])},
        {"seconds": "1"},
        {"lost": [{}]},
        {"lost": {}},
        {"variables": [{**VARIABLE, "shape": 3}]},
        {"op": "leaves", "leaves": ["x"]},
        {"op": "leaves", "leaves": [b""]},
        {"op": "leaves", "leaves": [bytes(2 << 20)]},
        {"variables": [VARIABLE] * 200_001},
        {"variables": [{**VARIABLE, "shape": ["x"]}]},
        {"manifest": msgpack.packb([2, "3.11", b"", [[]]])},
        {"manifest": msgpack.packb([2, "3.11", b"", b""]) + b"\x90"},
        {"manifest": b"\x94\x02"},
    ],
)
def test_nonsense_in_a_snapshot_is_a_kernel_error(change: dict[str, Any]) -> None:
    with pytest.raises(KernelError):
        parse_saving({**SNAPSHOT, **change})


@pytest.mark.parametrize("keys", [None, ["x"], [b""] * 100_000])
def test_nonsense_at_a_start_is_a_kernel_error(keys: Any) -> None:
    with pytest.raises(KernelError):
        parse_starting({"op": "fetch", "keys": keys})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@given(
    base=st.sampled_from([DONE, ASK, CALL, SNAPSHOT, LEAVES]),
    key=st.sampled_from(sorted({*DONE, *ASK, *CALL, *SNAPSHOT, "leaves", "keys"})),
    value=PLAIN,
)
def test_any_value_in_any_field_is_survived(base: dict[str, Any], key: str, value: Any) -> None:
    for parse in (parse_event, parse_saving, parse_starting):
        try:
            parse({**base, key: value})
        except KernelError:
            continue


def test_what_a_worker_says_at_length_is_cut() -> None:
    long = "긴" * 10_000_000
    done = parse_event({**DONE, "output": long, "error": long, "error_kind": "exception"})
    assert isinstance(done, CellDone)
    assert done.error is not None
    assert len(done.output) < 5_000_000
    assert len(done.error) < 1_000_000
    assert "characters left out" in done.output


def test_of_a_variable_only_what_is_known_is_kept() -> None:
    extra = {**VARIABLE, "more": ["x"] * 1000, "preview": "p" * 100_000, "shape": [1] * 1000}
    saved = parse_saving({**SNAPSHOT, "variables": [extra], "lost": [{**LOSS, "why": "w" * 100_000, "more": 1}]})
    assert isinstance(saved, Saved)
    (variable,), (loss,) = saved.variables, saved.lost
    assert set(variable) == set(VARIABLE)
    assert len(variable["preview"]) <= 4000
    assert len(variable["shape"]) == 64
    assert set(loss) == set(LOSS)
    assert len(loss["why"]) <= 4000
