"""Corpora that a home holds as sources of another: their texts are copied as they are, whatever is in them."""

import io
import json
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgpack

from rlm_agent.repl.kernel import ContextSource
from rlm_agent.store.charset import CHUNK
from rlm_agent.store.parts import Part, Source

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["from_stored"]


def from_stored(handle: Mapping[str, Any], held: ContextSource) -> Source:
    """The texts of a corpus; a list or dict becomes its JSON text."""
    name = str(handle.get("name") or "corpus")
    if held.kind == "files":
        return Source(name, name, _texts(held), lone=False, noun="corpus")
    if held.kind == "json":
        value = msgpack.unpackb(held.path.read_bytes(), strict_map_key=False)
        return Source.of(name, Part("", name, json.dumps(value, ensure_ascii=False)), files=0)
    whole = partial(_opened, held.path, 0, held.path.stat().st_size)
    return Source.of(name, Part("", name, whole, verbatim=True), files=int(handle.get("files") == 1))


def _texts(held: ContextSource) -> Generator[Part, None, None]:
    for name, offset, length in held.index:
        yield Part(name, name, partial(_opened, held.path, offset, length), verbatim=True)


def _opened(path: Path, offset: int, length: int) -> BinaryIO:
    return io.BufferedReader(_Slice(path, offset, length), CHUNK)


class _Slice(io.RawIOBase):
    """A part of a file."""

    def __init__(self, path: Path, offset: int, length: int) -> None:
        self._file = io.FileIO(path)
        self._file.seek(offset)
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        read = self._file.readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()
