"""Array views: numpy pickles a view as a copy; here it is saved as a window on the array that owns the memory.

Invariant: arrays that shared memory before a snapshot share it after. An owner is saved once, whoever names it, also
where only a view of it is left in the namespace: that memory is what the process holds.
"""

from typing import Any

import numpy as np

__all__ = ["reduce_view"]


def reduce_view(view: "np.ndarray[Any, Any]") -> tuple[Any, ...] | None:
    """How to pickle a view by its owner; None where the array is none, or has to be pickled as numpy does."""
    owner = _owner(view)
    if owner is view or type(owner) is not np.ndarray or view.dtype.hasobject or owner.dtype.hasobject:
        return None
    if not owner.flags.forc:
        return None
    offset = _address(view) - _address(owner)
    return rebuild_view, (owner, offset, view.shape, view.strides, view.dtype, view.flags.writeable)


def rebuild_view(
    owner: "np.ndarray[Any, Any]",
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: Any,
    writes: bool,
) -> "np.ndarray[Any, Any]":
    """The view again, on the owner's memory."""
    memory = owner if owner.flags.c_contiguous else owner.T
    view: np.ndarray[Any, Any] = np.ndarray(shape, dtype, buffer=memory, offset=offset, strides=strides)
    view.flags.writeable = writes and owner.flags.writeable
    return view


def _owner(array: "np.ndarray[Any, Any]") -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _address(array: "np.ndarray[Any, Any]") -> int:
    address: int = array.__array_interface__["data"][0]
    return address
