"""Snapshot: a whole namespace as bytes and back. Runs in the worker only; the host never reads these bytes.

Layout: zstd of msgpack of a head (versions, names, offsets, the interpreter's own state) and of one pickle stream
with a section a variable, all sections sharing one memo. Invariant: one variable that cannot be saved or loaded costs
that variable, never the others; its name stays bound to a `Lost`. What is host-bound is named by place, and belongs
to `namespace.py`.
"""

import decimal
import io
import pickle
import pickletools
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgpack
import zstandard

from rlm_agent.repl.lost import Lost, reason
from rlm_agent.repl.pickling import NamespacePickler, describe

__all__ = ["Image", "Loss", "SnapshotError", "dump", "interpreter_state", "load", "restore_interpreter", "tombstones"]

VERSION = 1
DEEPEST = 8_000
Resolve = Callable[[str], Any]


class SnapshotError(ValueError):
    """These bytes are no snapshot that this worker can load."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A variable that could not be held whole."""

    name: str
    type: str
    why: str


@dataclass
class Image:
    """A namespace outside of a process.

    Attributes:
        stream: the pickle stream: the prelude and a section a variable.
        names: the variables, in order.
        kinds: their types.
        offsets: where each section begins.
        extra: plain data that the caller wants back.
    """

    stream: bytes
    names: list[str]
    kinds: list[str]
    offsets: list[int]
    extra: dict[str, Any] = field(default_factory=dict)
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"

    def encode(self) -> bytes:
        """Compressed bytes."""
        head = [VERSION, self.python, self.names, self.kinds, self.offsets, self.extra]
        packed = msgpack.packb([head, self.stream], unicode_errors="surrogatepass")
        return zstandard.ZstdCompressor(level=1).compress(packed)

    @classmethod
    def decode(cls, data: bytes) -> "Image":
        """The image in these bytes.

        Raises:
            SnapshotError: they are damaged, or of another Python, whose byte code must not be loaded.
        """
        try:
            packed = zstandard.ZstdDecompressor().decompress(data)
            head, stream = msgpack.unpackb(packed, unicode_errors="surrogatepass", strict_map_key=False)
            version, python, names, kinds, offsets, extra = head
        except (ValueError, TypeError, zstandard.ZstdError) as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from error
        if version != VERSION or python != cls.python:
            raise SnapshotError(
                f"the snapshot is of Python {python} (form {version}), this is {cls.python} ({VERSION})"
            )
        return cls(stream, names, kinds, offsets, extra)


class _Losses:
    """What the pickler had to replace, one entry a variable."""

    def __init__(self) -> None:
        self.found: dict[str, Loss] = {}
        self.name, self.value = "", None

    def add(self, value: Any, why: str) -> None:
        """Called by the pickler with the value itself, which may stand deep inside the variable."""
        if self.name in self.found:
            return
        if value is not self.value:
            why = f"it holds a {describe(type(value))}, which is lost: {why}"
        self.found[self.name] = Loss(self.name, describe(type(self.value)), why)


def dump(
    variables: Mapping[str, Any],
    namespace: dict[str, Any],
    references: Mapping[str, Any],
    unloadable: Mapping[str, str],
) -> tuple[Image, list[Loss]]:
    """Pickles the variables.

    Args:
        variables: what is to be saved.
        namespace: the live globals dict.
        references: place -> object that is named instead of saved.
        unloadable: name -> reason of variables known not to load again.
    """
    given_up = dict(unloadable)
    # The memo holds objects of a half that failed, so after each failure only a new start is clean.
    while isinstance(result := _dump_all(variables, namespace, references, given_up), dict):
        given_up |= result
    return result


def _dump_all(
    variables: Mapping[str, Any], namespace: dict[str, Any], references: Mapping[str, Any], given_up: Mapping[str, str]
) -> tuple[Image, list[Loss]] | dict[str, str]:
    file, offsets, losses = io.BytesIO(), list[int](), _Losses()
    pickler = NamespacePickler(file, namespace, references, losses.add)
    for name, value in variables.items():
        offsets.append(file.tell())
        losses.name, losses.value = name, value
        if name in given_up:
            losses.add(value, given_up[name])
            value = Lost(describe(type(value)), given_up[name])
        if failure := _dump_one(pickler, value):
            return {name: failure}
    kinds = [describe(type(value)) for value in variables.values()]
    return Image(file.getvalue(), list(variables), kinds, offsets), list(losses.found.values())


def _dump_one(pickler: NamespacePickler, value: Any) -> str | None:
    """Pickles one variable; returns why it failed."""
    try:
        with _deep_recursion():
            pickler.dump(value)
    except Exception as error:  # noqa: BLE001  # reducers are anybody's code
        return f"it cannot be pickled ({type(error).__name__}: {error!s:.200})"
    return None


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """Long chains of objects nest deeper than Python's default limit allows, and the C stack bears more."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def load(
    image: Image, into: dict[str, Any], resolve: Resolve, progress: Callable[[str], None] | None = None
) -> list[Loss]:
    """Loads the variables into a namespace.

    Args:
        image: what `dump` made.
        into: the live globals dict, which functions get as theirs.
        resolve: place -> host object; it gives a `Lost` for a place that is no more.
        progress: called with each name before it is loaded.

    Returns:
        The variables that did not load, which are bound to a `Lost`.
    """
    try:
        _load_fast(image, into, resolve, progress)
    except Exception:  # noqa: BLE001  # loading runs anybody's code; the slow way finds out whose
        return _load_each(image, into, resolve, progress)
    return []


def tombstones(variables: Mapping[str, Any]) -> list[Loss]:
    """The variables whose value was lost, now or earlier."""
    return [Loss(name, *reason(value)) for name, value in variables.items() if type(value) is Lost]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, resolve: Resolve) -> None:
        super().__init__(file)
        self._resolve = resolve

    def persistent_load(self, pid: Any) -> Any:
        return self._resolve(pid)


class _SlowUnpickler(pickle._Unpickler):
    """The pure Python one, whose memo can be mended after a section that failed."""

    memo: dict[int, Any]

    def __init__(self, file: io.BytesIO, resolve: Resolve) -> None:
        super().__init__(file)
        self._resolve = resolve

    def persistent_load(self, pid: Any) -> Any:
        return self._resolve(pid)


def _load_fast(image: Image, into: dict[str, Any], resolve: Resolve, progress: Callable[[str], None] | None) -> None:
    unpickler = _Unpickler(io.BytesIO(image.stream), resolve)
    unpickler.load()
    for name in image.names:
        if progress:
            progress(name)
        into[name] = unpickler.load()


def _load_each(
    image: Image, into: dict[str, Any], resolve: Resolve, progress: Callable[[str], None] | None
) -> list[Loss]:
    file, failed = io.BytesIO(image.stream), list[Loss]()
    unpickler = _SlowUnpickler(file, resolve)
    unpickler.load()
    for name, kind, offset in zip(image.names, image.kinds, image.offsets, strict=True):
        if progress:
            progress(name)
        known = len(unpickler.memo)
        file.seek(offset)
        try:
            into[name] = unpickler.load()
        except Exception as error:  # noqa: BLE001  # as above; the other variables are whole
            why = f"it does not load again ({type(error).__name__}: {error!s:.200})"
            into[name] = Lost(kind, why)
            failed.append(Loss(name, kind, why))
            _fill(unpickler.memo, known + _memoized(image.stream, offset), why)
    return failed


def _memoized(stream: bytes, offset: int) -> int:
    """How many memo entries the section at this offset makes: later sections count on them."""
    file = io.BytesIO(stream)
    file.seek(offset)
    return sum(opcode.name == "MEMOIZE" for opcode, _argument, _position in pickletools.genops(file))


def _fill(memo: dict[int, Any], size: int, why: str) -> None:
    for number in range(len(memo), size):
        memo[number] = Lost("value", f"it is a part of a variable that was lost: {why}")


def interpreter_state(base_path: list[str]) -> bytes:
    """State outside of the namespace that a cell may rely on: random generators, decimal context, `sys.path`."""
    numpy = sys.modules["numpy"]
    return pickle.dumps(
        {
            "random": random.getstate(),
            "numpy": numpy.random.get_state(),
            "decimal": decimal.getcontext(),
            "path": [entry for entry in sys.path if entry not in base_path],
        }
    )


def restore_interpreter(data: bytes) -> None:
    """Counterpart of `interpreter_state`."""
    state = pickle.loads(data)
    random.setstate(state["random"])
    sys.modules["numpy"].random.set_state(state["numpy"])
    decimal.setcontext(state["decimal"])
    sys.path.extend(entry for entry in state["path"] if entry not in sys.path)
