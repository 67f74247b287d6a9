"""A corpus in the making: one growing file of UTF-8 text and the list of what stands where in it.

Invariant: the file holds only whole, valid texts (or one msgpack value); a text that turns out to be none is taken
back. The digest covers kind, names and content, never the order of calls on the disk or where the text came from.
"""

import codecs
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from rlm_agent.store.failures import explained
from rlm_agent.store.plain import digest, pack

__all__ = ["CHUNK", "Draft", "NotText"]

CHUNK = 1 << 18

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GUESSES = ("utf-8", "cp1252", "latin-1")


class NotText(Exception):
    """The bytes are no text in any encoding that is tried."""


@dataclass(slots=True)
class Draft:
    """Collects texts into `descriptor`, a new file in `directory`.

    Attributes:
        entries: (name, byte offset, byte length) of each text.
        chars: characters in all.
        recoded: texts that are neither UTF-8 nor marked as UTF-16 or UTF-32, read as Windows-1252 or Latin-1.
    """

    directory: Path
    descriptor: int
    entries: list[tuple[str, int, int]] = field(default_factory=list)
    chars: int = 0
    recoded: int = 0
    size: int = 0
    _digests: list[tuple[str, int, bytes]] = field(default_factory=list)

    def add_text(self, name: str, text: str) -> None:
        """Adds a str; lone surrogates, which UTF-8 cannot hold, become question marks."""
        pieces = (text[start : start + CHUNK] for start in range(0, len(text), CHUNK))
        self._add(name, ((piece.encode("utf-8", "replace"), len(piece)) for piece in pieces))

    def add_bytes(self, name: str, data: bytes) -> None:
        """Adds bytes as they are."""
        self._add(name, iter([(data, 0)]))

    def add_stream(self, name: str, opened: Callable[[], RawIOBase | BinaryIO]) -> None:
        """Adds a text from bytes in UTF-8, marked UTF-16 or UTF-32, or an 8-bit encoding.

        Raises:
            NotText: it is binary; the draft is as before.
            OSError: it cannot be read; the draft is as before.
        """
        with opened() as stream:
            mark, encodings = _encodings(stream.read(4))
            for encoding in encodings:
                stream.seek(len(mark))
                try:
                    self._add(name, _decoded(stream, encoding, marked=bool(mark)))
                except UnicodeDecodeError:
                    continue
                self.recoded += encoding in _GUESSES[1:]
                return
        raise NotText(name)

    def digest(self, kind: str) -> str:
        """The digest of the whole as a corpus of that kind."""
        return digest(pack([kind, *self._digests]))

    def _add(self, name: str, pieces: Iterator[tuple[bytes, int]]) -> None:
        start, chars, hashed = self.size, 0, blake3()
        try:
            for data, length in pieces:
                self._write(data)
                hashed.update(data)
                chars += length
        except (UnicodeDecodeError, NotText, OSError):
            self._take_back(start)
            raise
        self.chars += chars
        self.entries.append((name, start, self.size - start))
        self._digests.append((name, self.size - start, hashed.digest()))

    def _write(self, data: bytes) -> None:
        with explained(self.directory):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        self.size += len(data)

    def _take_back(self, start: int) -> None:
        if self.size == start:
            return
        os.ftruncate(self.descriptor, start)
        os.lseek(self.descriptor, start, os.SEEK_SET)
        self.size = start


def _encodings(head: bytes) -> tuple[bytes, tuple[str, ...]]:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return mark, (encoding,)
    return b"", _GUESSES


def _decoded(stream: RawIOBase | BinaryIO, encoding: str, *, marked: bool) -> Iterator[tuple[bytes, int]]:
    """Pieces of UTF-8 with their lengths in characters; a NUL byte in an unmarked encoding means no text."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for data in iter(partial(stream.read, CHUNK), b""):
        if b"\0" in data and not (marked and encoding != "utf-8"):
            raise NotText
        text = decoder.decode(data)
        yield data if encoding == "utf-8" else text.encode(), len(text)
    decoder.decode(b"", final=True)
