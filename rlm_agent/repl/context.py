"""Context: the large input as a real `str`, `dict` or `list`, read from a descriptor that the host passed.

The text never passes through a frame. `Context` also knows whether the cell changed the value and which objects in it
a snapshot may refer to instead of copying: those of a given fingerprint are bound again at a restore.
"""

import mmap
import os
from collections.abc import Mapping
from typing import Any

import msgpack
import xxhash

__all__ = ["Context"]

# Shorter strings may be shared with unrelated code, and are cheap to copy.
SHORTEST_REFERENCE = 1024
# Each reference costs a little in every snapshot; members beyond these are copied where a variable holds them.
MOST_REFERENCES = 20_000


def _digest(value: Any) -> bytes | None:
    """Digest of plain data; None when the value is none (any more)."""
    try:
        packed = msgpack.packb(value, unicode_errors="surrogatepass")
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return xxhash.xxh3_128_digest(packed)


class Context:
    """The bound input.

    Attributes:
        value: what the name `context` is bound to.
        fingerprint: the same for the same input; "" where there is none.
    """

    def __init__(self, value: Any, fingerprint: str) -> None:
        self.value = value
        self.fingerprint = fingerprint
        self._files = dict(value) if fingerprint.startswith("files") else {}
        self._digest = _digest(value) if fingerprint.startswith("json") else None

    @classmethod
    def nothing(cls) -> "Context":
        """No input: `context` is None."""
        return cls(None, "")

    @classmethod
    def read(cls, fd: int, kind: str, index: list[tuple[str, int, int]]) -> "Context":
        """Reads and closes the descriptor; see ContextSource for `kind` and `index`."""
        size = os.fstat(fd).st_size
        try:
            data: mmap.mmap | bytes = mmap.mmap(fd, size, access=mmap.ACCESS_READ) if size else b""
        finally:
            os.close(fd)
        with memoryview(data) as view:
            value = cls._decode(view, kind, index)
            places = repr(index) if kind == "files" else ""
            fingerprint = f"{kind}-{xxhash.xxh3_128_hexdigest(view)}-{xxhash.xxh3_128_hexdigest(places.encode())}"
        if isinstance(data, mmap.mmap):
            data.close()
        return cls(value, fingerprint)

    @staticmethod
    def _decode(view: memoryview, kind: str, index: list[tuple[str, int, int]]) -> Any:
        if kind == "text":
            return str(view, "utf-8", "replace")
        if kind == "files":
            return {name: str(view[start : start + length], "utf-8", "replace") for name, start, length in index}
        return msgpack.unpackb(view, strict_map_key=False)

    def changed(self) -> bool:
        """Whether the cell changed the value in place."""
        if self.fingerprint.startswith("files"):
            now = self.value
            return list(now) != list(self._files) or any(now[name] is not text for name, text in self._files.items())
        return self._digest is not None and _digest(self.value) != self._digest

    def references(self) -> dict[str, Any]:
        """Objects that a snapshot may name instead of holding, by their place in the input."""
        changed = self.changed()
        members = list(self._files.items()) if changed else _members(self.value)
        found = {f"context/{key}": item for key, item in members[:MOST_REFERENCES] if _is_reference(item)}
        if not changed and _is_reference(self.value):
            found["context"] = self.value
        return found

    def resolve(self, place: str) -> Any:
        """The object at a place that `references` gave, of the same fingerprint."""
        if place == "context":
            return self.value
        key = place.removeprefix("context/")
        return self.value[int(key)] if isinstance(self.value, list) else self.value[key]


def _members(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return [(key, item) for key, item in value.items() if isinstance(key, str)]
    return list(enumerate(value)) if isinstance(value, list) else []


def _is_reference(item: Any) -> bool:
    return len(item) >= SHORTEST_REFERENCE if type(item) is str else type(item) in (list, dict)
