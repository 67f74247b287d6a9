"""Image: a namespace outside of a process, and how it becomes a manifest and leaves.

Layout: the numbers of the pickle memo are dealt out once. The slots have the lowest; each variable has a row of its own
with a range of numbers that begins at `base`, and keeps it while it fits. So the text of an unchanged variable is the
same bytes, whatever happens around it. Ranges that are not filled are filled with None when the stream is loaded.
Large values are blocks beside the text. This module knows bytes only; pickling is `dumping.py` and `loading.py`.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
import xxhash
import zstandard

from rlm_agent.repl.leaves import LARGE, LeafError, Leaves, decoded, pieces
from rlm_agent.repl.manifest import KEY_BYTES, Manifest, ManifestError
from rlm_agent.repl.slots import Slot, Slots

__all__ = ["ARRAY", "PYTHON", "Block", "Fetch", "Image", "Row", "SnapshotError"]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LONGEST_PIECE = 8 << 10
"""Bytes of a note in one leaf: what grows at its end is written again from its last leaf on."""
ARRAY = -1
"""`Block.at` of an array, which is no part of the text."""

Fetch = Callable[[list[bytes]], Iterator[bytes]]
"""Keys -> leaves, in the same order."""


class SnapshotError(ValueError):
    """These bytes are no snapshot that this worker can load."""


@dataclass(frozen=True, slots=True)
class Block:
    """A large value.

    Attributes:
        at: its place in the row's text, or ARRAY.
        size: bytes.
        keys: of its leaves.
        held: the value itself, in the process that pickled it.
    """

    at: int
    size: int
    keys: bytes
    held: Any = None


@dataclass(frozen=True, slots=True)
class Row:
    """One variable.

    Attributes:
        kind: its type, for people.
        base: the first of its numbers in the memo.
        count: how many numbers it takes.
        capacity: how many it may take without being moved.
        text: its part of the pickle stream, without frames.
        blocks: its large values, in the order of pickling.
    """

    name: str
    kind: str
    base: int
    count: int
    capacity: int
    text: bytes
    blocks: tuple[Block, ...]


@dataclass(slots=True)
class Image:
    """A namespace.

    Attributes:
        rows: the variables, by their numbers.
        trusted: nothing in it runs code of the cell's or of an unknown package when it is loaded.
        extra: small plain data that the caller wants back.
        notes: name -> bytes of the caller's, which change rarely or grow at their end.
        beside: keys of leaves that only the caller knows how to read.
    """

    slots: Slots
    rows: list[Row]
    trusted: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, bytes] = field(default_factory=dict)
    beside: bytes = b""

    def digest(self) -> bytes:
        """The same for the same variables."""
        state = xxhash.xxh3_128()
        for row in self.rows:
            state.update(f"{row.name!r} {row.base} {row.count} {len(row.text)} ".encode())
            state.update(row.text)
            state.update(b"".join(block.keys for block in row.blocks))
        state.update(_slot_table(self.slots))
        digest: bytes = state.digest()
        return digest

    def outline(self) -> "Image":
        """The same numbers, without the bytes and values."""
        return Image(self.slots, [replace(row, text=b"", blocks=()) for row in self.rows])

    def encode(self, leaves: Leaves) -> Manifest:
        """The manifest; its leaves are in `leaves`."""
        before = [b"".join(map(_row_line, self.rows)), _slot_table(self.slots)]
        keys = [leaves.text(stretch) for stretch in before]
        keys += [leaves.text(note, LONGEST_PIECE) for note in self.notes.values()]
        keys += [leaves.text(stretch) for stretch in self._texts()]
        counts = [len(cut) // KEY_BYTES for cut in keys]
        keys += [entry.keys for entry in self.slots.texts()]
        keys += [block.keys for row in self.rows for block in row.blocks]
        keys.append(self.beside)
        body = _pack([self.slots.capacity, list(self.notes), counts, self.extra])
        return Manifest(PYTHON, b"".join(keys), zstandard.ZstdCompressor(level=1).compress(body))

    def _texts(self) -> Iterator[bytes]:
        """The texts of the rows, small ones together."""
        small: list[bytes] = []
        for row in self.rows:
            if len(row.text) < LARGE:
                small.append(row.text)
                continue
            yield b"".join(small)
            yield row.text
            small = []
        yield b"".join(small)

    @classmethod
    def decode(cls, manifest: Manifest, fetch: Fetch, leaves: Leaves) -> "Image":
        """The image of a manifest, without its large values; their keys are in the slots and blocks.

        Raises:
            SnapshotError: it is damaged, or of another Python, whose byte code must not be loaded.
        """
        if manifest.python != PYTHON:
            raise SnapshotError(f"the snapshot is of Python {manifest.python}, this is {PYTHON}")
        try:
            return _decode(manifest, fetch, leaves)
        except (ValueError, TypeError, LeafError, ManifestError, zstandard.ZstdError) as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from error


class _Keys:
    """The keys of a manifest, handed out in order."""

    def __init__(self, keys: bytes) -> None:
        self._keys, self._at = keys, 0

    def take(self, count: int) -> bytes:
        end = self._at + count * KEY_BYTES
        if count < 0 or end > len(self._keys):
            raise ValueError("the manifest names too few leaves")
        taken, self._at = self._keys[self._at : end], end
        return taken

    def rest(self) -> bytes:
        return self.take((len(self._keys) - self._at) // KEY_BYTES)


def _decode(manifest: Manifest, fetch: Fetch, leaves: Leaves) -> Image:
    body = zstandard.ZstdDecompressor().decompress(manifest.body)
    capacity, names, counts, extra = _unpack(body)
    keys = _Keys(manifest.keys)
    cuts = [keys.take(count) for count in counts]
    stretches = list(_fetched(cuts, fetch, leaves))
    rows, slots, notes = stretches[0], stretches[1], stretches[2 : 2 + len(names)]
    text = b"".join(stretches[2 + len(names) :])
    # In the order in which their keys were written.
    entries = [_slot(entry, keys) for entry in _lines(slots)]
    lines = list(_rows(rows, text, keys))
    return Image(Slots(entries, capacity), lines, True, extra, dict(zip(names, notes, strict=True)), beside=keys.rest())


def _fetched(cuts: list[bytes], fetch: Fetch, leaves: Leaves) -> Iterator[bytes]:
    """The stretches of text that were cut into these leaves."""
    wanted = [cut[at : at + KEY_BYTES] for cut in cuts for at in range(0, len(cut), KEY_BYTES)]
    stream = fetch(wanted)
    for cut in cuts:
        parts = []
        for at in range(0, len(cut), KEY_BYTES):
            part = decoded(next(stream))
            leaves.learn(part, cut[at : at + KEY_BYTES])
            parts.append(part)
        yield b"".join(parts)


def _row_line(row: Row) -> bytes:
    blocks = [[block.at, block.size] for block in row.blocks]
    return _pack([row.name, row.kind, row.base, row.count, row.capacity, len(row.text), blocks])


def _rows(table: bytes, text: bytes, keys: _Keys) -> Iterator[Row]:
    start = 0
    for name, kind, base, count, capacity, length, sizes in _lines(table):
        blocks = tuple(Block(at, size, keys.take(pieces(size))) for at, size in sizes)
        yield Row(name, kind, base, count, capacity, text[start : start + length], blocks)
        start += length


def _slot_table(slots: Slots) -> bytes:
    lines = [None if entry is None else entry.place or [entry.kind, entry.size] for entry in slots.entries]
    return b"".join(map(_pack, lines))


def _slot(line: Any, keys: _Keys) -> Slot | None:
    if line is None:
        return None
    if isinstance(line, str):
        return Slot(line, None)
    kind, size = line
    return Slot("", None, kind, size, keys.take(pieces(size)))


def _lines(data: bytes) -> Iterator[Any]:
    unpacker = msgpack.Unpacker(unicode_errors="surrogatepass", strict_map_key=False, max_buffer_size=0)
    unpacker.feed(data)
    yield from unpacker


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


def _unpack(data: bytes) -> Any:
    return msgpack.unpackb(data, unicode_errors="surrogatepass", strict_map_key=False)
