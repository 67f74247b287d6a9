"""Arrays: numpy pickles a view as a copy and a buffer as borrowed memory; here both come back as what they were.

Invariant: arrays that shared memory before a snapshot share it after; one that owned its memory owns it again, in the
same order and as writable as it was. An owner is saved once, whoever names it, also where only a view of it is left in
the namespace: that memory is what the process holds. What is no plain array of plain numbers is left to numpy.
"""

from typing import Any, Protocol

import numpy as np

__all__ = ["Array", "Blocks", "memory", "reduce_array", "reduce_view"]

Array = np.ndarray[Any, Any]
PLAIN = frozenset("biufcmMSUV")


class Blocks(Protocol):
    """Where large arrays come from when a snapshot is loaded."""

    def array(self, number: int, shape: tuple[int, ...], dtype: Any, order: Any) -> Array:
        """The array of this number in the variable that is being loaded."""


def is_plain(array: Array) -> bool:
    """Whether the array is nothing but its memory."""
    return (
        type(array) is np.ndarray
        and array.dtype.kind in PLAIN
        and array.dtype.itemsize > 0
        and not array.dtype.hasobject
        and bool(array.flags.forc)
    )


def memory(array: Array) -> Array:
    """The bytes of a plain array, in the order in which they lie, not copied."""
    return array.reshape(-1, order="A").view(np.uint8)


def reduce_array(array: Array, source: object) -> tuple[Any, ...]:
    """How to pickle a plain array that owns its memory.

    Args:
        source: the bytes, or a pair (blocks, number) where they are kept elsewhere.
    """
    order = "C" if array.flags.c_contiguous else "F"
    return rebuild_array, (source, array.shape, array.dtype, order, array.flags.writeable)


def rebuild_array(source: Any, shape: tuple[int, ...], dtype: Any, order: Any, writes: bool) -> Array:
    """The array again, on memory of its own."""
    if isinstance(source, bytes):
        array: Array = np.empty(shape, dtype, order)
        memory(array)[:] = np.frombuffer(source, np.uint8)
    else:
        blocks, number = source
        array = blocks.array(number, shape, dtype, order)
    array.flags.writeable = writes
    return array


def reduce_view(view: Array) -> tuple[Any, ...] | None:
    """How to pickle a view by its owner; None where the array is none, or has to be pickled as numpy does."""
    owner = _owner(view)
    if owner is view or not is_plain(owner) or type(view) is not np.ndarray or view.dtype.hasobject:
        return None
    offset = _address(view) - _address(owner)
    return rebuild_view, (owner, offset, view.shape, view.strides, view.dtype, view.flags.writeable)


def rebuild_view(
    owner: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, writes: bool
) -> Array:
    """The view again, on the owner's memory."""
    view: Array = np.ndarray(shape, dtype, memory(owner), offset, strides)
    view.flags.writeable = writes and owner.flags.writeable
    return view


def _owner(array: Array) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
