"""Which bytes are text, and in what encoding.

A byte order mark; else UTF-8, UTF-16 without a mark, damaged UTF-8, the charset that a document or server declares, and
at last what `codepages` finds likeliest in the lines that are not ASCII. Invariant: only strict decoding of
the whole text proves an encoding; what is offered here are guesses, in the order in which to try them.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Literal

from rlm_agent.store.codepages import LATIN, known, likeliest

__all__ = ["CHUNK", "Encoding", "NotText", "guesses", "opening", "sample"]

CHUNK = 1 << 18

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BINARY = re.compile(  # what may hold no NUL byte, or none near its beginning
    rb"\x89PNG|\xff\xd8\xff|\x7fELF|%PDF-|\xca\xfe\xba\xbe"
    rb"|\x1f\x8b|BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07"
)
_CONTROL = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
_DECLARED = re.compile(rb"""(?:charset|encoding|coding)\s*[=:]\s*["']?([\w.:-]{2,40})""", re.IGNORECASE)
_HIGH = re.compile(rb"[\x80-\xff]")
_SAMPLE_BYTES, _LINE_BYTES = 16_384, 4096
_HEAD_CHARS, _LEAST_CHARS = 4096, 8


class NotText(Exception):
    """The bytes are no text in any encoding that is tried."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding to try.

    Attributes:
        codec: name of a Python codec.
        skip: bytes of the byte order mark.
        errors: "replace" where some damage is to be expected; it becomes U+FFFD.
    """

    codec: str
    skip: int = 0
    errors: Literal["strict", "replace"] = "strict"

    @property
    def wide(self) -> bool:
        """Whether NUL bytes are part of its characters."""
        return self.codec.startswith(("utf-16", "utf-32"))

    @property
    def label(self) -> str:
        """The name for people; empty where UTF-8 or a mark left nothing to guess."""
        if self.errors == "replace":
            return f"{self.codec} (damaged)"
        return "" if self.skip or self.codec == "utf-8" else self.codec


def opening(head: bytes) -> Encoding:
    """The encoding to try first, told by the first bytes.

    Raises:
        NotText: they are those of a binary format.
    """
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return Encoding(codec, len(mark))
    if _BINARY.match(head):
        raise NotText
    if b"\0" not in head:
        return Encoding("utf-8")
    for codec in ("utf-16-le", "utf-16-be"):
        if _reads_well(head[: 2 * _HEAD_CHARS], codec):
            return Encoding(codec)
    raise NotText


def sample(stream: BinaryIO) -> list[bytes]:
    """Lines that are not ASCII, about 16 KB of them, from a stream at its beginning. Long lines are cut."""
    lines: list[bytes] = []
    size = 0
    for line in _high_lines(stream):
        lines.append(line)
        size += len(line)
        if size >= _SAMPLE_BYTES:
            break
    return lines


def guesses(lines: list[bytes], head: bytes, declared: str = "") -> tuple[Encoding, ...]:
    """Encodings of a text that is not UTF-8, likeliest first; the last always decodes.

    Args:
        lines: its `sample`.
        head: its first bytes, where it may declare its charset.
        declared: the charset that a server told.

    Raises:
        NotText: it has more control characters than text has.
    """
    text = b"\n".join(lines)
    if 100 * len(_CONTROL.findall(text)) > len(text):
        raise NotText
    if _is_damaged_utf8(text):
        return (Encoding("utf-8", errors="replace"),)
    told = [codec for name in (declared, _declared(head)) if (codec := known(name))]
    likely = likeliest(lines)
    last = Encoding("latin-1") if likely in LATIN else Encoding(likely, errors="replace")
    return (*(Encoding(codec) for codec in dict.fromkeys([*told, likely])), last)


def _reads_well(head: bytes, codec: str) -> bool:
    """Whether these are some assigned characters without controls, one in fifty of them ASCII, as spaces are."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return False
    odd = any(unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\t\n\r\f\b\x1b\x85" for c in text)
    return not odd and 50 * sum(c < "\x80" for c in text) >= len(text) >= _LEAST_CHARS


def _high_lines(stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    for data in iter(partial(stream.read, CHUNK), b""):
        *lines, rest = (rest + data).split(b"\n")
        yield from (_cut(line) for line in lines if not line.isascii())
        if len(rest) > CHUNK and not rest.isascii():
            break
        rest = rest if len(rest) <= CHUNK else b""  # ends in ASCII: what follows begins with a whole character
    if not rest.isascii():
        yield _cut(rest)


def _cut(line: bytes) -> bytes:
    """A part from its first byte above ASCII on, which begins a character, to where possible the end of one."""
    if len(line) <= _LINE_BYTES:
        return line
    high = _HIGH.search(line)
    line = line[high.start() if high else 0 :][:_LINE_BYTES]
    end = max(line.rfind(byte) for byte in (b" ", b",", b".", b"\t", b"("))  # no part of a longer character anywhere
    return line[:end] if end > _LINE_BYTES // 2 else line


def _is_damaged_utf8(text: bytes) -> bool:
    """Whether most characters above ASCII are right, which no other encoding brings about by chance."""
    decoded = text.decode("utf-8", "replace")
    wrong = decoded.count("\ufffd")
    return sum(c > "\x7f" for c in decoded) - wrong > 2 * wrong


def _declared(head: bytes) -> str:
    match = _DECLARED.search(head[:2048])
    return match[1].decode("ascii", "replace") if match else ""
