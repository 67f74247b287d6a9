"""Loading: an image becomes variables again.

Invariant: a variable that does not load is bound to a `Lost` and named, and the others are whole. Where large values
come from is told by a `Source`: leaves of the host, or, for a trial in a forked child, the values themselves.
"""

import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from rlm_agent.repl.arrays import Array, memory
from rlm_agent.repl.dumping import Loss
from rlm_agent.repl.image import ARRAY, Block, Fetch, Image, Row
from rlm_agent.repl.leaves import PIECE, Leaves, decoded
from rlm_agent.repl.lost import Lost
from rlm_agent.repl.manifest import KEY_BYTES
from rlm_agent.repl.sink import PROTO, Buffer, framed
from rlm_agent.repl.slots import Slot, Slots

__all__ = ["Fetched", "Held", "Resolve", "Source", "load"]

Resolve = Callable[[str], Any]
Progress = Callable[[str], None]


class Source(Protocol):
    """Where large values come from."""

    def string(self, slot: Slot) -> str | bytes: ...

    def array(self, block: Block, shape: tuple[int, ...], dtype: Any, order: Any) -> Array: ...

    def payload(self, block: Block) -> Buffer: ...


class Held:
    """The values are there still: this is a child of the process that pickled them."""

    def string(self, slot: Slot) -> str | bytes:
        value: str | bytes = slot.value
        return value

    def array(self, block: Block, shape: tuple[int, ...], dtype: Any, order: Any) -> Array:
        array: Array = block.held
        return array

    def payload(self, block: Block) -> Buffer:
        payload: Buffer = block.held
        return payload


class Fetched:
    """The values are with the host.

    Args:
        fetch: gets leaves.
        leaves: learns them.
    """

    def __init__(self, fetch: Fetch, leaves: Leaves) -> None:
        self._fetch = fetch
        self._leaves = leaves

    def string(self, slot: Slot) -> str | bytes:
        data = bytearray(slot.size)
        self._fill(memoryview(data), slot.keys)
        return str(data, "utf-8", "surrogatepass") if slot.kind == "str" else bytes(data)

    def array(self, block: Block, shape: tuple[int, ...], dtype: Any, order: Any) -> Array:
        array: Array = np.empty(shape, dtype, order)
        self._fill(memory(array).data, block.keys)
        return array

    def payload(self, block: Block) -> Buffer:
        data = bytearray(block.size)
        self._fill(memoryview(data), block.keys)
        return data

    def _fill(self, target: memoryview, keys: bytes) -> None:
        names = [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]
        for number, (key, leaf) in enumerate(zip(names, self._fetch(names), strict=True)):
            part = decoded(leaf)
            target[number * PIECE : number * PIECE + len(part)] = part
            self._leaves.learn(part, key)


def load(
    image: Image, into: dict[str, Any], resolve: Resolve, source: Source, progress: Progress | None = None
) -> list[Loss]:
    """Loads the variables into a namespace.

    Args:
        image: what `dump` made; its slots get their values.
        into: the live globals dict, which functions get as theirs.
        resolve: place -> host object; it gives a `Lost` for a place that is no more.
        source: of large values.
        progress: called with each name before it is loaded.

    Returns:
        The variables that did not load, which are bound to a `Lost`.
    """
    loader = _Loader(image, into, source, progress)
    loader.fill_slots(resolve)
    try:
        loader.run(_Unpickler)
    except Exception:  # noqa: BLE001  # loading runs anybody's code; the slow way finds out whose
        return loader.run_each()
    return []


class _Stream:
    """The file that an unpickler reads: parts in a row, made when they are reached."""

    def __init__(self) -> None:
        self._parts: Iterator[Buffer] = iter(())
        self._part = memoryview(b"")

    def open(self, parts: Iterator[Buffer]) -> None:
        self._parts, self._part = parts, memoryview(b"")

    def read(self, size: int) -> bytes:
        taken = self._take(size)
        if len(taken) == size or not taken:
            return bytes(taken)
        return bytes(taken) + self.read(size - len(taken))

    def readinto(self, target: Any) -> int:
        view, done = memoryview(target).cast("B"), 0
        while done < len(view) and (taken := self._take(len(view) - done)):
            view[done : done + len(taken)] = taken
            done += len(taken)
        return done

    def readline(self) -> bytes:
        """For opcodes with a line of text, which stand in frames whole."""
        line = io.BytesIO(self._part).readline()
        return bytes(self._take(len(line)))

    def _take(self, size: int) -> memoryview:
        if not self._part:
            self._part = memoryview(next(self._parts, b""))
        taken, self._part = self._part[:size], self._part[size:]
        return taken


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: _Stream, resolve: Callable[[int], Any]) -> None:
        super().__init__(file)
        self._resolve = resolve

    def persistent_load(self, pid: Any) -> Any:
        return self._resolve(pid)


class _SlowUnpickler(pickle._Unpickler):
    """The pure Python one, whose memo can be mended after a variable that failed."""

    memo: dict[int, Any]

    def __init__(self, file: _Stream, resolve: Callable[[int], Any]) -> None:
        super().__init__(file)
        self._resolve = resolve

    def persistent_load(self, pid: Any) -> Any:
        return self._resolve(pid)


class _Loader:
    """Loads one image; is what the stream knows as the source of arrays."""

    def __init__(self, image: Image, into: dict[str, Any], source: Source, progress: Progress | None) -> None:
        self._image = image
        self._into = into
        self._source = source
        self._progress = progress or (lambda name: None)
        self._stream = _Stream()
        self._row: Row | None = None
        self._reached = 0

    def fill_slots(self, resolve: Resolve) -> None:
        """Gives each slot its object."""
        entries = [entry and self._filled(entry, resolve) for entry in self._image.slots.entries]
        self._image.slots = Slots(entries, self._image.slots.capacity)

    def _filled(self, slot: Slot, resolve: Resolve) -> Slot:
        if slot.place == "blocks":
            value: Any = self
        else:
            value = resolve(slot.place) if slot.place else self._source.string(slot)
        return Slot(slot.place, value, slot.kind, slot.size, slot.keys)

    def array(self, number: int, shape: tuple[int, ...], dtype: Any, order: Any) -> Array:
        """Called by the stream; see `arrays.Blocks`."""
        assert self._row is not None
        return self._source.array(self._row.blocks[number], shape, dtype, order)

    def run(self, kind: type[_Unpickler]) -> None:
        """All at once; any failure ends it."""
        unpickler = self._begin(kind)
        for row in self._image.rows:
            self._into[row.name] = self._load(unpickler, row)

    def run_each(self) -> list[Loss]:
        """One after the other, past those that fail."""
        failed: list[Loss] = []
        unpickler = self._begin(_SlowUnpickler)
        for row in self._image.rows:
            try:
                self._into[row.name] = self._load(unpickler, row)
            except Exception as error:  # noqa: BLE001  # as above; the other variables are whole
                why = f"it does not load again ({type(error).__name__}: {error!s:.200})"
                self._into[row.name] = Lost(row.kind, why)
                failed.append(Loss(row.name, row.kind, why))
                rest = Lost("value", f"it is a part of a variable that was lost: {why}")
                unpickler.memo.update((number, rest) for number in range(len(unpickler.memo), row.base + row.count))
                self._reached = row.base + row.count
        return failed

    def _begin(self, kind: Any) -> Any:
        unpickler = kind(self._stream, self._slot)
        slots = self._image.slots
        numbers = [_named(number) if entry else _skipped(1) for number, entry in enumerate(slots.entries)]
        self._reached = slots.capacity
        self._stream.open(iter([_whole(b"".join(numbers) + _skipped(slots.capacity - len(numbers)))]))
        unpickler.load()
        return unpickler

    def _slot(self, number: int) -> Any:
        entry = self._image.slots.entries[number]
        assert entry is not None
        return entry.value

    def _load(self, unpickler: Any, row: Row) -> Any:
        self._progress(row.name)
        if row.base > self._reached:
            self._stream.open(iter([_whole(_skipped(row.base - self._reached))]))
            unpickler.load()
        self._row = row
        self._stream.open(self._parts(row))
        value = unpickler.load()
        self._reached = row.base + row.count
        return value

    def _parts(self, row: Row) -> Iterator[Buffer]:
        start = 0
        yield PROTO
        for block in row.blocks:
            if block.at != ARRAY:
                yield framed(row.text[start : block.at])
                yield self._source.payload(block)
                start = block.at
        yield framed(row.text[start:])


def _named(number: int) -> bytes:
    """Asks for the object of a slot and gives it the next number of the memo."""
    return pickle.BININT + number.to_bytes(4, "little") + pickle.BINPERSID + pickle.MEMOIZE + pickle.POP


def _skipped(count: int) -> bytes:
    """Fills numbers of the memo with None."""
    return pickle.NONE + pickle.MEMOIZE * count + pickle.POP


def _whole(opcodes: bytes) -> bytes:
    return framed(opcodes + pickle.NONE + pickle.STOP)
