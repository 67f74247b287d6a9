"""Parts of a corpus on their way into the home: named texts, and streams that are opened one at a time."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import BinaryIO

__all__ = ["Opener", "Part", "Source"]

Opener = Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Part:
    """One text. Where it comes out of an archive, it can be read only until the next part is asked for.

    Attributes:
        name: within its source; empty where that is this text alone.
        where: names it to people.
        content: a str, or opens a stream. A stream that cannot seek is opened once.
        declared: the charset that a server told.
        verbatim: the stream is UTF-8 from the home and holds whatever it holds.
    """

    name: str
    where: str
    content: str | Opener
    declared: str = ""
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """What one thing that was named turned out to be.

    Attributes:
        name: short, for people.
        where: the same in full.
        parts: each is used before the next is taken.
        lone: True where it is one text, False where it is a dict of names.
        files: 1 where a lone text is a file.
        noun: what it is called where it holds nothing.
        unordered: its parts come in no order of their names.
        left_out: names that were not followed.
        ignored: files that a .gitignore names.
    """

    name: str
    where: str
    parts: Generator[Part, None, None]
    lone: bool
    files: int = 0
    noun: str = "directory"
    unordered: bool = False
    left_out: list[str] = field(default_factory=list)
    ignored: int = 0

    @classmethod
    def of(cls, name: str, part: Part, files: int) -> "Source":
        """A text alone."""
        return cls(name, part.where, (p for p in (part,)), lone=True, files=files)
