"""A corpus in the making: one growing file of UTF-8 text and the list of what stands where in it.

Invariant: the file holds only whole, valid texts (or one msgpack value); a text that turns out to be none is taken
back. The digest covers kind, names and content, never the order of calls on the disk or where the text came from.
"""

import codecs
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

import msgpack
from blake3 import blake3

from rlm_agent.store.charset import CHUNK, Encoding, NotText, guesses, opening, sample
from rlm_agent.store.failures import explained
from rlm_agent.store.plain import digest, pack, unpack
from rlm_agent.store.versions import check_version

__all__ = ["Draft", "digest_of"]

_SPOOL_BYTES = 1 << 20


@dataclass(slots=True)
class Draft:
    """Collects texts into `descriptor`, a new file in `directory`.

    Attributes:
        entries: (name, byte offset, byte length) of each text.
        chars: characters in all.
        recoded: the encodings of texts that are neither UTF-8 nor marked as UTF-16 or UTF-32.
    """

    directory: Path
    descriptor: int
    entries: list[tuple[str, int, int]] = field(default_factory=list)
    chars: int = 0
    recoded: dict[str, str] = field(default_factory=dict)
    size: int = 0
    _digests: list[tuple[str, int, bytes]] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _numbers: dict[str, int] = field(default_factory=dict)

    def free_name(self, name: str) -> str:
        """The name where no text has it yet, else the same with the lowest number from 2 that makes it new."""
        free, number = name, self._numbers.get(name, 1)
        while free in self._names:
            number += 1
            free = f"{name} ({number})"
        self._numbers[name] = number
        return free

    def add_text(self, name: str, text: str) -> None:
        """Adds a str; lone surrogates, which UTF-8 cannot hold, become question marks."""
        pieces = (text[start : start + CHUNK] for start in range(0, len(text), CHUNK))
        self._add(name, ((piece.encode("utf-8", "replace"), len(piece)) for piece in pieces))

    def add_bytes(self, name: str, data: bytes) -> None:
        """Adds bytes as they are."""
        self._add(name, iter([(data, 0)]))

    def add_copy(self, name: str, opened: Callable[[], BinaryIO]) -> None:
        """Adds a text from UTF-8, whatever characters it holds."""
        with opened() as stream:
            self._add(name, _decoded(stream, Encoding("utf-8"), nul=True))

    def add_stream(self, name: str, opened: Callable[[], BinaryIO], declared: str = "") -> None:
        """Adds a text from bytes in any encoding that `charset` finds.

        Args:
            name: of the text.
            opened: opens the bytes; they are read from their beginning, once where they cannot be sought.
            declared: the charset that a server told.

        Raises:
            NotText: it is binary; the draft is as before.
            OSError: it cannot be read; the draft is as before.
        """
        with opened() as stream:
            head = stream.read(CHUNK)
            first = opening(head)
            with self._rewindable(stream, head) as source:
                for encoding in _attempts(source, first, head, declared):
                    source.seek(encoding.skip)
                    try:
                        self._add(name, _decoded(source, encoding, nul=encoding.wide))
                    except UnicodeDecodeError:
                        continue
                    if encoding.label:
                        self.recoded[name] = encoding.label
                    return
        raise NotText(name)

    def sort(self, start: int) -> None:
        """Brings the texts from one on into the order of their names."""
        self.entries[start:] = sorted(self.entries[start:], key=itemgetter(0))
        self._digests[start:] = sorted(self._digests[start:], key=itemgetter(0))

    def digest(self, kind: str) -> str:
        """The digest of the whole as a corpus of that kind."""
        return digest(pack([kind, *self._digests]))

    @contextmanager
    def _rewindable(self, stream: BinaryIO, head: bytes) -> Iterator[BinaryIO]:
        """The stream itself where it can be sought, else a copy of it: in memory, or if large in the home."""
        if stream.seekable():
            yield stream
            return
        with SpooledTemporaryFile(_SPOOL_BYTES, dir=str(self.directory)) as spool:
            data = head
            while data:
                with explained(self.directory):
                    spool.write(data)
                data = stream.read(CHUNK)
            yield cast(BinaryIO, spool)

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
        self._names.add(name)

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


def digest_of(directory: Path) -> str | None:
    """The digest of what two files hold; None where they are no corpus."""
    try:
        index = unpack((directory / "index").read_bytes())
        check_version(index["version"], f"Corpus {directory.name}")
        kind, entries = str(index["kind"]), [(str(name), int(at), int(size)) for name, at, size in index["entries"]]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException):
        return None
    digests, end = [], 0
    with open(directory / "data", "rb") as data:
        for name, at, size in entries:
            hashed, left = blake3(), size
            while left > 0 and (piece := data.read(min(left, CHUNK))):
                hashed.update(piece)
                left -= len(piece)
            if at != end or left:
                return None
            end += size
            digests.append((name, size, hashed.digest()))
        whole = not data.read(1)
    return digest(pack([kind, *digests])) if whole else None


def _attempts(stream: BinaryIO, first: Encoding, head: bytes, declared: str) -> Iterator[Encoding]:
    """Encodings to try, the first told by the first bytes, the others found out only where that fails."""
    yield first
    if first.codec == "utf-8" and first.skip:
        yield Encoding("utf-8", first.skip, "replace")
    elif first.codec == "utf-8":
        stream.seek(0)
        yield from guesses(sample(stream), head, declared)


def _decoded(stream: BinaryIO, encoding: Encoding, *, nul: bool) -> Iterator[tuple[bytes, int]]:
    """Pieces of UTF-8 with their lengths in characters; where NUL bytes may not be, they mean no text."""
    decoder = codecs.getincrementaldecoder(encoding.codec)(encoding.errors)
    plain = encoding.codec == "utf-8" and encoding.errors == "strict"
    for data in iter(partial(stream.read, CHUNK), b""):
        if not nul and b"\0" in data:
            raise NotText
        text = decoder.decode(data)
        yield data if plain else text.encode(), len(text)
    rest = decoder.decode(b"", final=True)
    yield rest.encode(), len(rest)
