"""Argument types: whether what a model hands to a host function is of the types that the function's annotations name.

Pure. Arguments are compared and never converted: a function gets them as they came. An annotation that no plain value
is of, or that cannot be resolved, is no check.
"""

import functools
import inspect
import json
from collections.abc import Callable, Mapping
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
    adapters = _adapters(function)
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        many = {kind.VAR_POSITIONAL: lambda v: v, kind.VAR_KEYWORD: lambda v: v.values()}.get(kind)
        for one in many(value) if many else [value]:
            if name in adapters and (why := _mismatch(adapters[name], one)):
                raise TypeError(f"{name}: {why}")


@functools.lru_cache(maxsize=256)
def _adapters(function: Callable[..., Any]) -> Adapters:
    """One for each parameter whose annotation says something about plain data."""
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):
        return {}
    made = {}
    for name, hint in hints.items():
        try:
            made[name] = TypeAdapter(hint)
        except PydanticUserError:
            # A type that no plain value is of.
            continue
    return made


def _mismatch(adapter: TypeAdapter[Any], value: Any) -> str:
    """Why a value does not fit; "" where it does. As JSON, in which a tuple is a list and a date a text."""
    if isinstance(value, bytes):
        return ""
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "".join(f"[{part!r}]" for part in first["loc"])
        return f"{where} {first['msg']}, not {value!r:.80}".strip()
    return ""
