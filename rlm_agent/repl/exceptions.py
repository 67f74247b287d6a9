"""Exceptions: kept whole, with cause and context, also where their constructor takes other arguments than `args`.

Python pickles an exception as a call of its class with `args`, which fails for each class whose `__init__` passes on
something else. Here the object is made without the `__init__` of the cell's; its state is what that made of it.
A traceback belongs to its process, and is left out.
"""

import types
from typing import Any

__all__ = ["is_native", "reduce_exception"]


def is_native(error: BaseException) -> bool:
    """Whether Python itself would pickle it, no code of the class."""
    kind = type(error)
    if kind.__reduce_ex__ is not object.__reduce_ex__:
        return False
    return isinstance(kind.__reduce__, types.MethodDescriptorType) and isinstance(
        kind.__setstate__, types.MethodDescriptorType
    )


def reduce_exception(error: BaseException) -> tuple[Any, ...]:
    """How to pickle an exception that `is_native`."""
    reduced: Any = error.__reduce__()
    kind, args, *state = reduced
    links = (error.__cause__, error.__context__, error.__suppress_context__)
    return rebuild_exception, (kind, args), (*links, *state), None, None, set_exception_state


def rebuild_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """The exception, its own attributes yet to come."""
    error: BaseException = kind.__new__(kind, *args)
    _native_init(kind)(error, *args)
    return error


def set_exception_state(error: BaseException, state: tuple[Any, ...]) -> None:
    """Second half of rebuilding an exception."""
    cause, context, suppressed, *attributes = state
    error.__cause__, error.__context__, error.__suppress_context__ = cause, context, suppressed
    if attributes and attributes[0]:
        error.__setstate__(attributes[0])


def _native_init(kind: type[BaseException]) -> Any:
    """The constructor of the nearest class that is written in C: it fills the fields that are no attribute."""
    methods = (vars(base).get("__init__") for base in kind.__mro__)
    return next(method for method in methods if isinstance(method, types.WrapperDescriptorType))
