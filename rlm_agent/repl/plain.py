"""Plain: which values may cross between a cell and its host, and what a dict of theirs may have for keys.

Invariant: what passes can be recorded, named by a digest and handed to a host's function without running code of the
cell's. Both ends look: the worker, so that a mistake is an error in the cell; the host, since a worker may lie.
"""

from typing import Any

import msgpack

__all__ = ["DEEPEST", "problem"]

DEEPEST = 200
SCALARS = (type(None), bool, int, float, str, bytes)


def problem(value: Any) -> str:
    """Why a value is no plain data, as "a dict key is an int"; "" where it is."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > DEEPEST:
            return f"it is nested more than {DEEPEST} deep"
        if isinstance(item, dict):
            strange = next((key for key in item if not isinstance(key, str)), "")
            if strange != "":
                return f"a dict key is of type {type(strange).__name__}, and only str can be one"
            waiting += [(member, depth + 1) for member in item.values()]
        elif isinstance(item, list | tuple) and not isinstance(item, msgpack.ExtType):
            waiting += [(member, depth + 1) for member in item]
        elif not isinstance(item, SCALARS):
            return f"a value is of type {type(item).__name__}"
    return ""
