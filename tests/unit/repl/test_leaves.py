"""Leaves: cut by content, found again without being hashed for their key, and sent once."""

import random

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_agent.repl.chunks import LEAST, MOST, cuts
from rlm_agent.repl.leaves import KEY_BYTES, PIECE, LeafError, Leaves, decoded, pieces

NOISE = random.Random(3).randbytes(3 * PIECE + 5)


def split(keys: bytes) -> list[bytes]:
    return [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]


def parts(data: bytes) -> list[bytes]:
    ends = cuts(data)
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 400_000), st.integers(0, 9))
def test_chunks_are_the_data_in_pieces_of_bounded_size(size: int, seed: int) -> None:
    data = random.Random(seed).randbytes(size) if seed else bytes(size)
    found = parts(data)
    assert b"".join(found) == data
    assert all(0 < len(part) <= MOST for part in found)
    assert all(len(part) >= LEAST for part in found[:-1])


def test_an_insertion_moves_the_cuts_near_it_only() -> None:
    before, after = set(parts(NOISE)), parts(NOISE[:1_000_000] + b"inserted" + NOISE[1_000_000:])
    assert sum(part not in before for part in after) <= 3
    assert 8_000 < len(NOISE) / len(after) < 40_000


def test_a_block_is_sent_once_and_changes_by_pieces() -> None:
    leaves = Leaves()
    keys = leaves.block(memoryview(NOISE))
    assert len(split(keys)) == pieces(len(NOISE)) == 4
    sent = leaves.settle(keys)
    assert b"".join(decoded(leaf) for leaf in sent) == NOISE
    assert [blake3(leaf).digest() for leaf in sent] == split(keys)
    changed = bytearray(NOISE)
    changed[PIECE + 1] ^= 1
    new = leaves.block(memoryview(changed))
    assert [a == b for a, b in zip(split(keys), split(new), strict=True)] == [True, False, True, True]
    assert len(leaves.settle(new)) == 1
    assert leaves.block(memoryview(changed)) == new
    assert leaves.settle(new) == []


def test_what_the_newest_snapshot_does_not_name_is_sent_again() -> None:
    leaves = Leaves()
    keys = leaves.block(memoryview(NOISE))
    other = leaves.text(b"other")
    assert len(leaves.settle(keys + other)) == 5
    assert leaves.settle(other) == []
    assert leaves.block(memoryview(NOISE)) == keys
    assert len(leaves.settle(keys + other)) == 4


def test_what_was_restored_is_not_sent() -> None:
    first, second = Leaves(), Leaves()
    keys = first.block(memoryview(NOISE))
    for key, leaf in zip(split(keys), first.settle(keys), strict=True):
        second.learn(decoded(leaf), key)
    assert second.block(memoryview(NOISE)) == keys
    assert second.settle(keys) == []


def test_equal_pieces_are_one_leaf_and_small_where_they_compress() -> None:
    leaves = Leaves()
    (leaf,) = leaves.settle(leaves.block(memoryview(bytes(5 * PIECE))))
    assert len(leaf) < 1000


@pytest.mark.parametrize("leaf", [b"", b"\x01nonsense", b"\x07abc"])
def test_a_damaged_leaf_is_refused(leaf: bytes) -> None:
    with pytest.raises(LeafError):
        decoded(leaf)
