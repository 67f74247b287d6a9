"""TypedDicts in the form that pydantic reads on every Python that we support.

Before Python 3.12 pydantic refuses `typing.TypedDict`, whose members do not tell what was declared optional; the class
object itself does, so it is rebuilt as `typing_extensions.TypedDict`, those inside it included.
"""

import functools
import operator
import sys
import types
import typing
from typing import Any

import typing_extensions

__all__ = ["is_typed_dict", "modern"]

_MARKERS = (typing.Required, typing.NotRequired, typing_extensions.Required, typing_extensions.NotRequired)


def is_typed_dict(spec: Any) -> bool:
    """Whether it is a TypedDict class, from `typing` or `typing_extensions`."""
    return typing_extensions.is_typeddict(spec)


def modern(spec: Any) -> Any:
    """The type with every `typing.TypedDict` in it rebuilt; unchanged from Python 3.12 on.

    Raises:
        TypeError: a TypedDict holds itself.
    """
    return spec if sys.version_info >= (3, 12) else _rebuilt(spec, ())


def _rebuilt(spec: Any, outer: tuple[Any, ...]) -> Any:
    if spec in outer:
        raise TypeError(f"{spec.__name__} holds itself; use a pydantic model for that")
    if is_typed_dict(spec):
        return _rebuilt_class(spec, (*outer, spec))
    origin: Any = typing.get_origin(spec)
    args = typing.get_args(spec)
    if not args or origin is typing.Literal:
        return spec
    if origin is typing.Annotated:
        return typing.Annotated[(_rebuilt(args[0], outer), *args[1:])]
    inner = tuple(_rebuilt(arg, outer) for arg in args)
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(operator.or_, inner)
    return origin[inner]


def _rebuilt_class(spec: Any, outer: tuple[Any, ...]) -> Any:
    fields = {}
    for name, hint in typing_extensions.get_type_hints(spec, include_extras=True).items():
        origin: Any = typing.get_origin(hint)
        plain = typing.get_args(hint)[0] if origin in _MARKERS else hint
        marker: Any = typing_extensions.Required if name in spec.__required_keys__ else typing_extensions.NotRequired
        fields[name] = marker[_rebuilt(plain, outer)]
    functional: Any = typing_extensions.TypedDict
    rebuilt = functional(spec.__name__, fields)
    rebuilt.__doc__ = spec.__doc__
    return rebuilt
