"""Deep: a pickler for what is nested deeper than Python lets C code go, whatever the stack (from Python 3.12 on).

It is the pure Python one: a call from Python to Python takes no C stack, so only the recursion limit bounds it. It is
slow, and for those variables only that need it. Invariant: it writes what the fast one would, with the same numbers in
the memo, and goes through C nowhere between one level and the next.
"""

import pickle
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

__all__ = ["CAN_GO_DEEPER", "DeepPickler"]

CAN_GO_DEEPER = sys.version_info >= (3, 12)
"""Before, the fast pickler goes as deep as its stack, which is deeper."""

# Calls inside each other; a list takes three for a level, an instance five.
DEEPEST_CALLS = 250_000
# What the fast pickler saves before it asks for a reducer.
DIRECT = (bool, int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset, pickle.PickleBuffer, type(None))
NOTHING: tuple[Any, ...] = (None,) * 4

# Its types are known to nobody.
_Pure: Any = vars(pickle)["_Pickler"]


class DeepPickler(_Pure):  # type: ignore[misc]
    """Pickles one variable.

    Args:
        file: as that of the fast pickler.
        memo: of the fast pickler; grows.
        reduce: reducer of the fast pickler, for all but plain values.
    """

    memo: dict[int, tuple[int, Any]]
    _savers: ClassVar[dict[type, Callable[[Any, Any], None]]] = {kind: _Pure.dispatch[kind] for kind in DIRECT}

    def __init__(self, file: Any, memo: dict[int, tuple[int, Any]], reduce: Callable[[Any], Any]) -> None:
        super().__init__(file, protocol=5)
        self.memo = memo
        self._reduce = reduce

    def dump_deep(self, value: Any) -> None:
        """Writes one value.

        Raises:
            RecursionError: it is nested deeper than even this can go.
        """
        with _many_calls():
            self.dump(value)

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Called for each object; by its base, too."""
        self.framer.commit_frame()
        known = self.memo.get(id(obj))
        if known is not None:
            self.write(self.get(known[0]))
            return
        saver = self._savers.get(type(obj))
        if saver is not None:
            saver(self, obj)
            return
        reduced = self._reduced(obj)
        if isinstance(reduced, str):
            self.save_global(obj, reduced)
        elif reduced is None:
            self.save_type(obj) if isinstance(obj, type) else self.save_global(obj)
        else:
            # Not as `*reduced`: Python goes through C for it.
            parts: list[Any] = [*reduced, *NOTHING]
            self.save_reduce(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], obj=obj)

    def _reduced(self, obj: Any) -> Any:
        """How to pickle it; None for a class or function that is named."""
        reduced = self._reduce(obj)
        if reduced is not NotImplemented:
            return reduced
        return None if isinstance(obj, type | types.FunctionType) else obj.__reduce_ex__(5)


@contextmanager
def _many_calls() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPEST_CALLS)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
