"""Sink: the text and the payloads are what the pickler wrote, and equal objects are equal bytes."""

import io
import pickle
from typing import Any

import pytest

from rlm_agent.repl.sink import PROTO, Sink, framed

BIG = 70_000
VALUES = [
    5,
    [],
    "y" * BIG,
    [b"x" * BIG, "y" * BIG, bytearray(BIG), "글" * BIG],
    [b"x" * BIG, 1, [b"x" * 65_536], b"x" * 65_535],
    [{"n": n} for n in range(40_000)],
    [*[{"n": n} for n in range(30_000)], "가" * BIG, *range(100_000), b"B" * BIG],
    pickle.PickleBuffer(bytearray(b"Z" * BIG)),
    b"\x95" * BIG,
    ["X\x00\x11\x01\x00"] * 3,
]


def written(value: Any) -> tuple[bytes, list[tuple[int, bytes]]]:
    payloads: list[tuple[int, bytes]] = []
    sink = Sink(lambda at, data: payloads.append((at, bytes(data))))
    pickle.Pickler(sink, 5).dump(value)
    return sink.take(), payloads


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_the_parts_make_the_whole(value: Any) -> None:
    text, payloads = written(value)
    file, start = io.BytesIO(), 0
    file.write(PROTO)
    for at, payload in payloads:
        file.write(framed(text[start:at]) + payload)
        start = at
    file.write(framed(text[start:]))
    expected = bytearray(b"Z" * BIG) if isinstance(value, pickle.PickleBuffer) else value
    for load in (pickle.Unpickler, pickle._Unpickler):
        file.seek(0)
        assert load(file).load() == expected


def test_large_values_are_no_part_of_the_text() -> None:
    text, payloads = written([b"x" * BIG, "y" * BIG, bytearray(BIG), "글" * BIG])
    assert len(text) < 100
    assert [len(payload) for _, payload in payloads] == [BIG, BIG, BIG, 3 * BIG]


def test_text_does_not_depend_on_what_stands_before_it() -> None:
    rows = [[n] for n in range(100_000)]
    tail = written((0, *rows))[0][-400_000:]
    assert written((0, 1, 2, *rows))[0].endswith(tail)
    assert b"\x95" not in written(["a"] * 200_000)[0]
