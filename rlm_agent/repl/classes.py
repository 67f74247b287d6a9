"""Classes of the cells: rebuilt with their slots and qualified name, and without telling their bases once more.

cloudpickle makes an empty class and sets its attributes one by one, so slots would become mere attributes; and making
it calls `__init_subclass__` of the bases, whose effects are in the namespace already.
"""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle.cloudpickle as cp

__all__ = ["reduce_class"]

HOOK = "__init_subclass__"


def reduce_class(kind: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """How to pickle a class of the cells'.

    Args:
        reduced: how cloudpickle would.
    """
    if reduced[0] is not cp._make_skeleton_class:
        return reduced
    constructor, name, bases, given, tracker, _extra = reduced[1]
    attributes = dict(reduced[2][0])
    given = {**given, "__qualname__": kind.__qualname__}
    # A named tuple gets its own from its maker.
    if "__slots__" in attributes and not hasattr(kind, "_fields"):
        given["__slots__"] = attributes.pop("__slots__")
        attributes = {
            key: value for key, value in attributes.items() if not isinstance(value, types.MemberDescriptorType)
        }
    args = (constructor, name, bases, given, tracker)
    return rebuild_class, args, (attributes, {}), None, None, cp._class_setstate


def rebuild_class(constructor: Any, name: str, bases: tuple[Any, ...], given: dict[str, Any], tracker: str) -> type:
    """The class again, its attributes yet to come; the very class where this process has it."""
    with _quiet(bases):
        made: type = cp._make_skeleton_class(constructor, name, bases, given, tracker, None)
    return made


@contextmanager
def _quiet(bases: tuple[Any, ...]) -> Iterator[None]:
    """Meanwhile no class of the cells' hears of subclasses."""
    above = {each for base in bases for each in getattr(base, "__mro__", ())}
    hooks = {
        each: vars(each)[HOOK] for each in above if HOOK in vars(each) and each in cp._DYNAMIC_CLASS_TRACKER_BY_CLASS
    }
    for each in hooks:
        type.__setattr__(each, HOOK, classmethod(_ignore))
    try:
        yield
    finally:
        for each, hook in hooks.items():
            type.__setattr__(each, HOOK, hook)


def _ignore(kind: Any, /, **options: Any) -> None:
    pass
