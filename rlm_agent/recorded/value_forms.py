"""Turns a value of a REPL into plain data. Runs inside the worker, where the value lives; the host sees only the data.

Forms: "json" (UTF-8 text), "text" (`str` of the value, UTF-8), "npy" (numpy's file format), "bytes".
"""

import dataclasses
import datetime
import decimal
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from rlm_agent.repl.lost import Lost, LostError, reason

__all__ = ["CHUNK", "FORMS", "TAKE", "convert", "send"]

TAKE = "__rlm_take__"
"""Name under which the host binds the function that takes the data."""
CHUNK = 16 << 20


def send(variables: Mapping[str, Any], name: str, form: str) -> None:
    """Gives the host a variable in pieces of bytes, or one str: why that cannot be."""
    take = variables[TAKE]
    try:
        data = convert(variables[name], form)
    except (TypeError, ValueError, RecursionError, LostError) as error:
        take(str(error) or type(error).__name__)
        return
    view = memoryview(data)
    for start in range(0, len(view), CHUNK):
        take(bytes(view[start : start + CHUNK]))


def convert(value: Any, form: str) -> bytes:
    """The value as bytes of this form.

    Raises:
        TypeError, ValueError, RecursionError: it has none; the message tells another form.
        LostError: the value, or something in it, could not be saved.
    """
    if type(value) is Lost:
        kind, why = reason(value)
        raise TypeError(f"this {kind} is lost: {why}")
    return FORMS[form](value)


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain).encode("utf-8", "surrogatepass")
    except TypeError as error:
        raise TypeError(f"it cannot be JSON ({error}); ask for as_='text'") from None


def _plain(value: Any) -> Any:
    """What JSON has no form for, as something it has."""
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if callable(getattr(value, "model_dump", None)):
        return value.model_dump()
    raise TypeError(f"a {type(value).__name__} is in it")


def _text(value: Any) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


def _npy(value: Any) -> bytes:
    import numpy

    array = numpy.asarray(value)
    if array.dtype.hasobject:
        raise TypeError("it is no array of numbers or text; ask for as_='json' or 'text'")
    file = io.BytesIO()
    numpy.save(file, array, allow_pickle=False)
    return file.getvalue()


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return _text(value)
    try:
        return memoryview(value).tobytes()
    except TypeError:
        raise TypeError(f"a {type(value).__name__} has no bytes of its own; ask for as_='json' or 'text'") from None


FORMS: dict[str, Callable[[Any], bytes]] = {"json": _json, "text": _text, "npy": _npy, "bytes": _bytes}
