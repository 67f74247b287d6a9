"""Variables: the listing of a namespace, for people and for the root, cheap for any size of value.

Invariant: listing never fails and never shows more than PREVIEW characters of a value.
"""

import re
import reprlib
import sys
from collections.abc import Mapping
from itertools import islice
from types import ModuleType
from typing import Any

from rlm_agent.repl.lost import Lost, reason
from rlm_agent.repl.pickling import describe

__all__ = ["PREVIEW", "Table", "listing", "table"]

PREVIEW = 120
SAMPLE = 100
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Table(str):
    """Text that a notebook shows as it is."""

    def __repr__(self) -> str:
        return str(self)


class _Preview(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = self.maxdeque = 6
        self.maxstring = self.maxother = PREVIEW - 20
        self.maxlevel = 3


def _preview(value: Any) -> str:
    if type(value) is ModuleType:
        # Where it lies on this machine tells nobody anything.
        return f"<module {value.__name__!r}>"
    if type(value).__name__ == "ndarray" and getattr(value, "size", 0) > 1000:
        return f"array of {value.dtype}, shape {value.shape}"
    try:
        text = _Preview().repr(value)
    except Exception as error:  # noqa: BLE001  # a __repr__ is anybody's code
        text = f"<{describe(type(value))}: its repr raised {type(error).__name__}>"
    # Addresses differ from one process to the next and tell nobody anything.
    text = " ".join(ADDRESS.sub("", text).split())
    return text if len(text) <= PREVIEW else text[: PREVIEW - 3] + "..."


def _size(value: Any, depth: int = 2) -> int:
    """Bytes, estimated: large containers by a sample of their members."""
    if isinstance(nbytes := getattr(value, "nbytes", None), int):
        return nbytes
    size = sys.getsizeof(value, 64)
    if depth and isinstance(value, list | tuple | set | frozenset | dict) and len(value):
        members = value.items() if isinstance(value, dict) else value
        sample = [_size(member, depth - (not isinstance(value, dict))) for member in islice(members, SAMPLE)]
        size += sum(sample) * len(value) // len(sample)
    return size


def _shape(value: Any) -> list[int] | None:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and all(isinstance(length, int) for length in shape):
        return [int(length) for length in shape]
    return [len(value)] if isinstance(value, str | bytes | list | tuple | set | frozenset | dict) else None


def _describe(name: str, value: Any, lost: bool) -> dict[str, Any]:
    if type(value) is Lost:
        kind, _why = reason(value)
        return {"name": name, "type": kind, "size_bytes": 0, "shape": None, "preview": _preview(value), "lost": True}
    entry = {"name": name, "type": describe(type(value)), "preview": _preview(value), "lost": lost}
    try:
        return {**entry, "size_bytes": _size(value), "shape": _shape(value)}
    except Exception:  # noqa: BLE001  # attributes of a value are anybody's code
        return {**entry, "size_bytes": 0, "shape": None}


def listing(variables: Mapping[str, Any], lost: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """One dict a variable: "name", "type", "size_bytes", "shape", "preview", "lost"."""
    return [_describe(name, value, name in lost) for name, value in list(variables.items())]


def table(variables: Mapping[str, Any]) -> Table:
    """The listing as text in columns."""
    rows = [("name", "type", "bytes", "value")]
    rows += [(row["name"], row["type"], str(row["size_bytes"]), row["preview"]) for row in listing(variables)]
    if len(rows) == 1:
        return Table("no variables yet")
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    return Table("\n".join(lines))
