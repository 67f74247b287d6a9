"""Leaves: what is large or many in a snapshot, as pieces of at most a MiB under the digest of their bytes.

Invariant: bytes that this session has sent or restored are found again by a fast digest and neither compressed, hashed
for their key, nor sent once more. A leaf is a tag byte and the raw or compressed piece; the host sees only bytes.
"""

from collections.abc import Iterator

import xxhash
import zstandard
from blake3 import blake3

from rlm_agent.repl.chunks import MOST, cuts
from rlm_agent.repl.manifest import KEY_BYTES

__all__ = ["LARGE", "PIECE", "LeafError", "Leaves", "decoded", "pieces"]

PIECE = 1 << 20
"""Bytes of a piece of a large block, but for its last."""
LARGE = 64 << 10
"""Bytes from which on a value is cut out of the stream."""

RAW, ZSTD = b"\x00", b"\x01"
# What shrinks by less is not worth the time of whoever reads it.
WORTH = 0.9


class LeafError(ValueError):
    """These bytes are no leaf."""


def pieces(size: int) -> int:
    """How many leaves a block of this size has."""
    return -(-size // PIECE)


def decoded(leaf: bytes) -> bytes | memoryview:
    """The piece in a leaf.

    Raises:
        LeafError: the leaf is damaged.
    """
    if leaf[:1] == RAW:
        return memoryview(leaf)[1:]
    try:
        return zstandard.ZstdDecompressor().decompress(memoryview(leaf)[1:], max_output_size=PIECE)
    except zstandard.ZstdError as error:
        raise LeafError(f"a leaf of the snapshot is damaged: {error}") from error


def _encoded(raw: bytes) -> bytes:
    packed = zstandard.ZstdCompressor(level=1).compress(raw)
    return ZSTD + packed if len(packed) < len(raw) * WORTH else RAW + raw


def _digest(piece: bytes | memoryview) -> bytes:
    return xxhash.xxh3_128_digest(piece) + len(piece).to_bytes(4, "little")


class Leaves:
    """The leaves that one session knows."""

    def __init__(self) -> None:
        self._keys: dict[bytes, bytes] = {}
        self._unsent: dict[bytes, bytes] = {}
        self._cut: dict[bytes, bytes] = {}

    def block(self, data: memoryview) -> bytes:
        """Keys of a block of bytes, cut every PIECE bytes."""
        return b"".join(self._key(data[start : start + PIECE]) for start in range(0, len(data), PIECE))

    def text(self, data: bytes | bytearray, most: int = MOST) -> bytes:
        """Keys of a stretch of text, cut by its content, into pieces of `most` bytes at most."""
        digest = _digest(memoryview(data))
        if digest not in self._cut:
            self._cut[digest] = b"".join(
                self._key(memoryview(data)[start:end]) for start, end in _stretches(data, most)
            )
        return self._cut[digest]

    def learn(self, piece: bytes | memoryview, key: bytes) -> None:
        """Remembers a piece that came from the host."""
        self._keys[_digest(piece)] = key

    def drain(self) -> list[bytes]:
        """The leaves that are new, which count as sent from here on; the snapshot under way must name them."""
        unsent = list(self._unsent.values())
        self._unsent.clear()
        return unsent

    def settle(self, keys: bytes) -> list[bytes]:
        """What a snapshot of these keys needs sent. With this they count as sent, and all others are forgotten.

        The host need not keep what its newest snapshot does not name.
        """
        unsent = [leaf for key in dict.fromkeys(_split(keys)) if (leaf := self._unsent.get(key)) is not None]
        wanted = set(_split(keys))
        self._keys = {digest: key for digest, key in self._keys.items() if key in wanted}
        self._cut = {digest: cut for digest, cut in self._cut.items() if wanted.issuperset(_split(cut))}
        self._unsent.clear()
        return unsent

    def _key(self, piece: memoryview) -> bytes:
        key = self._keys.get(_digest(piece))
        if key is None:
            # A thread of the cell may write into it meanwhile: only a copy keeps to its digest.
            raw = bytes(piece)
            leaf = _encoded(raw)
            key = self._keys[_digest(raw)] = blake3(leaf).digest()
            self._unsent[key] = leaf
        return key


def _stretches(data: bytes | bytearray, most: int) -> Iterator[tuple[int, int]]:
    start = 0
    for end in cuts(data, most):
        yield start, end
        start = end


def _split(keys: bytes) -> list[bytes]:
    return [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]
