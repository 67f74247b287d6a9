"""Argument types: whether what a model hands to a host function is of the types that the function's annotations name.

Pure. Arguments are compared and never converted: a function gets them as they came. An annotation that no plain value
is of, or that cannot be resolved, is no check.
"""

import contextlib
import functools
import inspect
import json
from collections.abc import Callable, Hashable, Mapping
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

__all__ = ["check_types"]

Adapters = Mapping[str, TypeAdapter[Any]]


def check_types(function: Callable[..., Any], bound: inspect.BoundArguments) -> None:
    """Compares arguments with annotations.

    Raises:
        TypeError: one does not fit; its name, and why.
    """
    adapters = (_adapters if isinstance(function, Hashable) else _adapters.__wrapped__)(function)
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        many = {kind.VAR_POSITIONAL: lambda v: v, kind.VAR_KEYWORD: lambda v: v.values()}.get(kind)
        for one in many(value) if many else [value]:
            if name in adapters and (why := _mismatch(adapters[name], one)):
                raise TypeError(f"{name}: {why}")


@functools.lru_cache(maxsize=256)
def _adapters(function: Callable[..., Any]) -> Adapters:
    """One for each parameter whose annotation says something about plain data."""
    known = getattr(_written(function), "__globals__", {})
    made = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.annotation is not parameter.empty:
            # A type that no plain value is of, or a name that is not known here.
            with contextlib.suppress(PydanticUserError, NameError, TypeError, AttributeError, SyntaxError):
                made[name] = TypeAdapter(_resolved(parameter.annotation, known))
    return made


def _written(function: Callable[..., Any]) -> Any:
    """The function that somebody wrote, below partials, decorators, methods and callable objects."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    return function if inspect.isroutine(function) else type(function).__call__


def _resolved(annotation: Any, known: Mapping[str, Any]) -> Any:
    holder = SimpleNamespace(__annotations__={"it": annotation})
    return get_type_hints(holder, dict(known), include_extras=True)["it"]


def _mismatch(adapter: TypeAdapter[Any], value: Any) -> str:
    """Why a value does not fit; "" where it does. As JSON, in which a tuple is a list and a date a text; what holds
    bytes, which JSON lacks, as it is."""
    try:
        text = json.dumps(value)
    except TypeError:
        text = None
    try:
        if text is None:
            adapter.validate_python(value, strict=True)
        else:
            adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "".join(f"[{part!r}]" for part in first["loc"])
        return f"{where} {first['msg']}, not {value!r:.80}".strip()
    return ""
