"""Views: memoryviews, which Python does not pickle; here they come back as views of the same object.

Invariant: a view shares its memory with what it was made of, before a snapshot and after. One of memory that lives only
in its process (an mmap), or that no slice or cast of its owner makes, is refused and so lost by name.
"""

import array
from typing import Any

import numpy as np

__all__ = ["reduce_memoryview"]

OWNERS = (bytes, bytearray, array.array, np.ndarray)


def reduce_memoryview(view: Any) -> tuple[Any, ...]:
    """How to pickle a view by its owner.

    Raises:
        TypeError, ValueError: it cannot be.
    """
    owner: Any = view.obj
    if not isinstance(owner, OWNERS):
        raise TypeError(f"it shows memory of a {type(owner).__name__}")
    whole: Any = memoryview(owner)  # type: ignore[arg-type]  # the checker does not know that arrays are buffers
    start = _address(view) - _address(whole)
    if start == 0 and _layout(view) == _layout(whole):
        return rebuild_whole, (owner, view.readonly)
    # A step backwards would need the place where it ends.
    step = view.strides[0] // view.itemsize if view.ndim == 1 else 1
    if step < 1 or (step > 1 and view.strides[0] % view.itemsize) or (view.ndim != 1 and not view.c_contiguous):
        raise ValueError("it is no plain slice of its owner")
    return rebuild_part, (owner, start, view.shape, view.format, step, view.readonly)


def rebuild_whole(owner: Any, readonly: bool) -> memoryview:
    """All of the owner."""
    view = memoryview(owner)
    return view.toreadonly() if readonly else view


def rebuild_part(owner: Any, start: int, shape: tuple[int, ...], form: Any, step: int, readonly: bool) -> memoryview:
    """A slice of the owner, which `reduce_memoryview` described."""
    data = memoryview(owner).cast("B")
    size = np.dtype(form).itemsize
    count = 1 + (shape[0] - 1) * step if len(shape) == 1 and shape[0] else int(np.prod(shape))
    flat = data[start : start + count * size]
    view = flat.cast(form)[::step] if len(shape) == 1 else flat.cast(form, shape)
    return view.toreadonly() if readonly else view


def _layout(view: memoryview) -> tuple[Any, ...]:
    return view.format, view.shape, view.strides


def _address(view: memoryview) -> int:
    address: int = np.asarray(view).__array_interface__["data"][0]
    return address
