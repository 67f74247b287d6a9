"""Pickling: one pickle graph for a namespace, in which functions keep the one live globals dict.

Invariants: what stands in `references` (the namespace itself, the host's objects) is named, never copied; closures
that share a variable go on sharing it; a value that has no meaning in another process (an open file, a lock, a
generator) is replaced by `Lost` where it stands and reported, never saved as something else. The rebuilding functions
are module level, since a snapshot names them.
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
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

import cloudpickle.cloudpickle as cp
import numpy as np

from rlm_agent.repl.lost import Lost
from rlm_agent.repl.views import reduce_view

__all__ = ["PROTOCOL", "NamespacePickler", "describe", "prelude"]

PROTOCOL = 5

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


def describe(kind: type) -> str:
    """Name of a type as people write it."""
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def prelude(places: Iterable[str]) -> bytes:
    """A pickle that asks `persistent_load` for each place and puts the object in the memo, in this order."""
    parts = [pickle.PROTO, bytes([PROTOCOL])]
    for place in places:
        name = place.encode("utf-8", "surrogatepass")
        parts += [pickle.BINUNICODE, len(name).to_bytes(4, "little"), name]
        parts += [pickle.BINPERSID, pickle.MEMOIZE, pickle.POP]
    return b"".join([*parts, pickle.NONE, pickle.STOP])


class NamespacePickler(cp.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles variable after variable into one stream with one memo.

    Args:
        file: gets the prelude first.
        namespace: the live globals; must be one of the references.
        references: place -> object that is named instead of copied.
        lost: called with the value and the reason when one is replaced by `Lost`.
    """

    def __init__(
        self,
        file: BinaryIO,
        namespace: dict[str, Any],
        references: Mapping[str, Any],
        lost: Callable[[Any, str], None],
    ) -> None:
        super().__init__(file, protocol=PROTOCOL)
        self._namespace = namespace
        self._lost = lost
        # Two names of one object are one entry, or the numbers of both sides' memos would part.
        places = {id(value): place for place, value in references.items()}
        file.write(prelude(places.values()))
        # Memo entries cost nothing per object pickled, a `persistent_id` method would cost a call for each.
        self.memo = {key: (number, references[place]) for number, (key, place) in enumerate(places.items())}

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if issubclass(kind, TIED) and not issubclass(kind, IN_MEMORY):
            return self._bury(obj, "it lives only in the process that made it")
        if kind is types.CellType:
            return cp._make_empty_cell, ()
        if kind is np.ndarray and obj.base is not None and (reduced := reduce_view(obj)) is not None:
            return reduced
        if kind is functools._lru_cache_wrapper:
            return self._reduce_cached(obj)
        reduced = super().reducer_override(obj)
        if reduced is not NotImplemented or issubclass(kind, type) or kind is types.FunctionType:
            return reduced
        return self._reduce_plain(obj, kind)

    def _reduce_plain(self, obj: Any, kind: type) -> Any:
        reducer = self.dispatch_table.get(kind)
        try:
            return reducer(obj) if reducer else obj.__reduce_ex__(PROTOCOL)
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


def set_function_state(function: Any, state: tuple[Any, Any, list[tuple[types.CellType, Any]]]) -> None:
    """Second half of rebuilding a function: attributes, and the contents of its closure's own cells."""
    attributes, slots, cells = state
    cp._function_setstate(function, (attributes, slots))
    for cell, contents in cells:
        cell.cell_contents = contents


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
