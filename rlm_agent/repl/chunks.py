"""Chunks: where text is cut, by its content, so that an insertion moves the cuts near it and no others.

A gear hash over the last 32 bytes decides; it is computed for all places at once, in five vector steps.
"""

from collections.abc import Iterator

import numpy as np

__all__ = ["MOST", "cuts"]

LEAST = 4 << 10
MOST = 64 << 10
MASK = np.uint32(((16 << 10) - 1) << 18)
STEPS = (1, 2, 4, 8, 16)
REACH = 32
# Bytes hashed at a time: the hashes take four times as many.
WINDOW = 1 << 20
TABLE = np.random.Generator(np.random.PCG64(20)).integers(0, 1 << 32, 256, dtype=np.uint32)


def _candidates(data: bytes | bytearray) -> Iterator[int]:
    """Ends of possible chunks, one in 16 KiB."""
    view = np.frombuffer(data, np.uint8)
    for start in range(0, len(view), WINDOW):
        before = min(start, REACH - 1)
        hashes = TABLE[view[start - before : start + WINDOW]]
        for step in STEPS:
            hashes[step:] += hashes[:-step] << np.uint32(step)
        found = np.flatnonzero((hashes[before:] & MASK) == 0)
        yield from (found + (start + 1)).tolist()


def cuts(data: bytes | bytearray, most: int = MOST) -> list[int]:
    """Ends of the chunks, the last of which is the end of the data: LEAST to `most` bytes each, but for the last."""
    ends, start = list[int](), 0
    for end in [*(_candidates(data) if len(data) > LEAST else ()), len(data)]:
        while end - start > most:
            start += most
            ends.append(start)
        if end - start >= LEAST or end == len(data) > start:
            start = end
            ends.append(start)
    return ends
