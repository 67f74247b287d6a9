"""Pickling: one pickle graph for a namespace, in which functions keep the one live globals dict.

Invariants: what stands in `references` (the namespace itself, the host's objects) is named, never copied; closures
that share a variable go on sharing it; a value that has no meaning in another process (an open file, a lock, a
generator) is replaced by `Lost` where it stands and reported, never saved as something else; large arrays stand beside
the stream. The rebuilding functions are module level, since a snapshot names them.
"""

import asyncio
import concurrent.futures
import functools
import io
import pickle
import queue
import socket
import subprocess
import sys
import threading
import types
import weakref
from collections import ChainMap
from collections.abc import Callable
from typing import Any, ClassVar

import cloudpickle.cloudpickle as cp
import numpy as np

from rlm_agent.repl.arrays import Array, is_plain, memory, reduce_array, reduce_view
from rlm_agent.repl.classes import reduce_class
from rlm_agent.repl.deep import DeepPickler
from rlm_agent.repl.exceptions import is_native, reduce_exception
from rlm_agent.repl.image import ARRAY, Block
from rlm_agent.repl.leaves import LARGE, Leaves
from rlm_agent.repl.lost import Lost
from rlm_agent.repl.sink import Buffer, Sink
from rlm_agent.repl.trust import is_plain_class, is_plain_exception, is_trusted
from rlm_agent.repl.views import reduce_memoryview

__all__ = ["BLOCKS", "PROTOCOL", "NamespacePickler", "describe"]

PROTOCOL = 5

BLOCKS = object()
"""Stands for where a restore gets large arrays from. It is one of the named objects of each snapshot."""

# Values tied to this process: cloudpickle or their own reducer would save some of them as something else.
TIED = (
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.FrameType,
    types.TracebackType,
    io.IOBase,
    socket.socket,
    subprocess.Popen,
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Thread,
    threading.Event,
    threading.Condition,
    threading.Semaphore,
    threading.Barrier,
    threading.local,
    queue.Queue,
    queue.SimpleQueue,
    concurrent.futures.Executor,
    concurrent.futures.Future,
    asyncio.Future,
    asyncio.AbstractEventLoop,
)
IN_MEMORY = (io.StringIO, io.BytesIO)
# Where in a pickled [x, x] the second x is.
LAST_GET = len(pickle.EMPTY_LIST + pickle.MEMOIZE + pickle.MARK + pickle.EMPTY_LIST + pickle.MEMOIZE)


def describe(kind: type) -> str:
    """Name of a type as people write it."""
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _reduce_reference(reference: Any) -> tuple[Any, ...]:
    value = reference()
    return (weakref.ref, (value,)) if value is not None else (rebuild_dead_reference, ())


def _reduce_weak(mapping: Any) -> tuple[Any, ...]:
    return type(mapping), (dict(mapping),)


def _reduce_cached_property(cached: Any) -> tuple[Any, ...]:
    # Up to Python 3.11 it holds a lock.
    state = {key: value for key, value in vars(cached).items() if key != "lock"}
    return functools.cached_property, (cached.func,), state


REDUCERS: dict[Any, Callable[[Any], tuple[Any, ...]]] = {
    functools.cached_property: _reduce_cached_property,
    memoryview: reduce_memoryview,
    weakref.ref: _reduce_reference,
    weakref.WeakKeyDictionary: _reduce_weak,
    weakref.WeakValueDictionary: _reduce_weak,
}


class NamespacePickler(cp.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles variable after variable with one memo.

    Args:
        namespace: the live globals; must be in the memo.
        memo: what is named instead of copied: address -> (number, object), the numbers without a gap.
        leaves: take large values.
        lost: called with the value and the reason when one is replaced by `Lost`.

    Attributes:
        trusted: all that was pickled so far is sure to load again.
    """

    dispatch_table: ClassVar[Any] = ChainMap(REDUCERS, cp.Pickler.dispatch_table)

    def __init__(
        self,
        namespace: dict[str, Any],
        memo: dict[int, tuple[int, Any]],
        leaves: Leaves,
        lost: Callable[[Any, str], None],
    ) -> None:
        # The pickler is in no cycle, or its large memo would wait for the garbage collector.
        self._blocks = blocks = list[Block]()
        self._sink = Sink(lambda at, data: blocks.append(_payload(at, data, leaves)))
        super().__init__(self._sink, protocol=PROTOCOL)
        self._namespace = namespace
        self._leaves = leaves
        self._lost = lost
        self.trusted = True
        # Memo entries cost nothing per object pickled, a `persistent_id` method would cost a call for each.
        self.memo = memo

    def section(self, value: Any, *, deep: bool = False) -> tuple[bytes, tuple[Block, ...]]:
        """Pickles one variable: its text, and the blocks beside it.

        Args:
            deep: it is nested deeper than the fast way can go.

        Raises:
            RecursionError: it is nested too deep; this pickler is of no use from here on.
        """
        self._blocks.clear()
        if deep:
            slow = DeepPickler(self._sink, self.memo.copy(), self.reducer_override)
            slow.dump_deep(value)
            self.memo = slow.memo
        else:
            self._dump_fast(value)
        return self._sink.take(), tuple(self._blocks)

    def _dump_fast(self, value: Any) -> None:
        try:
            self.dump(value)
        except pickle.PicklingError as error:
            # How cloudpickle words it.
            if isinstance(error.__cause__, RecursionError):
                raise error.__cause__ from None
            raise

    def reached(self) -> int:
        """How many numbers are taken. Takes two more."""
        twice: list[Any] = []
        self.dump([twice, twice])
        text = self._sink.take()
        long = text[LAST_GET : LAST_GET + 1] == pickle.LONG_BINGET
        number = text[LAST_GET + 1 : LAST_GET + 5] if long else text[LAST_GET + 1 : LAST_GET + 2]
        return int.from_bytes(number, "little") - 1

    def skip(self, count: int) -> None:
        """Takes so many numbers for nothing."""
        if count > 0:
            self.dump([[] for _ in range(count - 1)])
            self._sink.take()

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if issubclass(kind, TIED) and not issubclass(kind, IN_MEMORY):
            return self._bury(obj, "it lives only in the process that made it")
        if kind is types.CellType:
            return cp._make_empty_cell, ()
        if kind is np.ndarray and (reduced := self._reduce_array(obj)) is not None:
            return reduced
        if kind is functools._lru_cache_wrapper:
            return self._reduce_cached(obj)
        reduced = super().reducer_override(obj)
        if issubclass(kind, type):
            if reduced is NotImplemented or reduced[0] in (type, cp._builtin_type):
                return reduced
            self.trusted &= is_plain_class(obj)
            return reduce_class(obj, reduced)
        if reduced is not NotImplemented or kind is types.FunctionType:
            return reduced
        return self._reduce_plain(obj, kind)

    def _reduce_array(self, array: Array) -> tuple[Any, ...] | None:
        if array.base is not None:
            reduced = reduce_view(array)
            if reduced is not None:
                return reduced
        if not is_plain(array):
            return None
        if array.nbytes < LARGE:
            return reduce_array(array, array.tobytes("A"))
        self._blocks.append(Block(ARRAY, array.nbytes, self._leaves.block(memory(array).data), array))
        return reduce_array(array, (BLOCKS, len(self._blocks) - 1))

    def _reduce_plain(self, obj: Any, kind: type) -> Any:
        reducer = self.dispatch_table.get(kind)
        try:
            if issubclass(kind, BaseException) and is_native(obj):
                self.trusted &= is_plain_exception(kind)
                return reduce_exception(obj)
            reduced = reducer(obj) if reducer else obj.__reduce_ex__(PROTOCOL)
            self.trusted &= isinstance(reduced, str) or is_trusted(reduced)
            return reduced
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001  # a reducer is anybody's code; what it cannot save is lost, the rest is not
            return self._bury(obj, f"it cannot be pickled ({type(error).__name__}: {error!s:.200})")

    def _bury(self, obj: Any, why: str) -> tuple[type[Lost], tuple[str, str]]:
        self._lost(obj, why)
        return Lost, (describe(type(obj)), why)

    def _reduce_cached(self, cached: Any) -> Any:
        if _is_importable(cached):
            return NotImplemented
        parameters = cached.cache_parameters()
        state = {key: value for key, value in vars(cached).items() if key not in ("__wrapped__", "cache_parameters")}
        return rebuild_cached, (cached.__wrapped__, parameters["maxsize"], parameters["typed"]), state

    def _function_getnewargs(self, func: Any) -> Any:
        code, base, *_ = super()._function_getnewargs(func)
        if func.__globals__ is self._namespace:
            base = self._namespace
        return code, base, None, None, func.__closure__

    def _dynamic_function_reduce(self, func: Any) -> Any:
        make, args, (attributes, slots), *_ = super()._dynamic_function_reduce(func)
        if func.__globals__ is self._namespace:
            slots["__globals__"] = {}
            slots["_cloudpickle_submodules"] = []
        slots["__closure__"] = None
        cells = [(cell, cell.cell_contents) for cell in func.__closure__ or () if _is_full(cell)]
        return make, args, (attributes, slots, cells), None, None, set_function_state


def _payload(at: int, data: Buffer, leaves: Leaves) -> Block:
    return Block(at, len(data), leaves.block(memoryview(data)), data)


def set_function_state(function: Any, state: tuple[Any, Any, list[tuple[types.CellType, Any]]]) -> None:
    """Second half of rebuilding a function: attributes, and the contents of its closure's own cells."""
    attributes, slots, cells = state
    cp._function_setstate(function, (attributes, slots))
    for cell, contents in cells:
        cell.cell_contents = contents


class _Forgotten:
    """What a dead reference is made of."""


def rebuild_dead_reference() -> Any:
    """A reference to what is no more."""
    return weakref.ref(_Forgotten())


def rebuild_cached(function: Any, maxsize: int | None, typed: bool) -> Any:
    """A function under `functools.lru_cache`, its cache empty."""
    return functools.lru_cache(maxsize, typed)(function)


def _is_importable(value: Any) -> bool:
    """Whether its name in its module, not that of the cells, is this very object."""
    module = sys.modules.get(value.__module__)
    return value.__module__ != "__main__" and getattr(module, value.__qualname__, None) is value


def _is_full(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
