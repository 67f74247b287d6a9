"""One line of a .gitignore, by the rules of git's documentation (gitignore, "PATTERN FORMAT") and its wildmatch.

Names are bytes, as they are to git: `?` is one byte. Invariant: matching takes time in proportion to the length of the
pattern times that of the path, whatever a hostile line holds.
"""

import re
from dataclasses import dataclass

__all__ = ["Pattern", "parse"]

_CLASSES = {
    b"alnum": b"0-9A-Za-z",
    b"alpha": b"A-Za-z",
    b"blank": b" \\t",
    b"cntrl": b"\\x00-\\x1f\\x7f",
    b"digit": b"0-9",
    b"graph": b"\\x21-\\x7e",
    b"lower": b"a-z",
    b"print": b"\\x20-\\x7e",
    b"punct": b"!-/:-@\\[-`{-~",
    b"space": b" \\t-\\r",
    b"upper": b"A-Z",
    b"xdigit": b"0-9A-Fa-f",
}
_MOST_BYTES = 4096  # no path is longer
_STARS = re.compile(rb"\*{2,}")
_CLASS = re.compile(rb"\[(?P<not>[!^]?)(?P<items>\]?+(?:\[:[a-z]+:\]|\\.|[^\]\\])*)\]", re.DOTALL)
_TOKEN = re.compile(rb"%s|\\.|." % re.sub(rb"\?P<\w+>", b"?:", _CLASS.pattern), re.DOTALL)
_ITEM = re.compile(rb"\[:(?P<name>[a-z]+):\]|\\?(?P<low>.)(?:-\\?(?P<high>.))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A line that says something about paths.

    Attributes:
        includes: whether it began with `!`.
        directories: whether it names directories only.
        parts: one regular expression for each part between slashes, None for `**`; of a line without a slash that for
            the last name of a path.
        anchored: whether the line had a slash, and so says something about the path from its folder.
    """

    includes: bool
    directories: bool
    parts: tuple[re.Pattern[bytes] | None, ...]
    anchored: bool

    def names(self, path: list[bytes], *, directory: bool) -> bool:
        """Whether it names this very entry, by the names from the folder of its file on."""
        if self.directories and not directory:
            return False
        if not self.anchored:
            return self.parts[0] is None or bool(self.parts[0].fullmatch(path[-1]))
        places = self._with_skipped({0})
        for name in path:
            places = self._with_skipped({after for place in places for after in self._after(place, name)})
        return len(self.parts) in places

    def _after(self, place: int, name: bytes) -> tuple[int, ...]:
        """Where in the parts one may be after a name that is read there."""
        if place == len(self.parts):
            return ()
        part = self.parts[place]
        if part is None:
            return (place, place + 1) if place == len(self.parts) - 1 else (place,)
        return (place + 1,) if part.fullmatch(name) else ()

    def _with_skipped(self, places: set[int]) -> set[int]:
        """The same places, and those behind a `**` that stands for no name; the last must stand for one."""
        for place in range(len(self.parts) - 1):
            if place in places and self.parts[place] is None:
                places.add(place + 1)
        return places


def parse(line: bytes) -> Pattern | None:
    """A line as a pattern; None where it is a comment, empty, or can match nothing."""
    if line.startswith(b"#") or len(line) > _MOST_BYTES:
        return None
    line = _without_trailing_spaces(line)
    includes, line = line.startswith(b"!"), line.removeprefix(b"!")
    directories, line = line.endswith(b"/"), line.removesuffix(b"/")
    anchored, line = b"/" in line, line.removeprefix(b"/")
    parts = _split(line)
    try:
        found = tuple(None if _STARS.fullmatch(part) else _compiled(part) for part in parts)
    except (ValueError, KeyError):
        return None
    return Pattern(includes, directories, found, anchored) if all(parts) else None


def _split(line: bytes) -> list[bytes]:
    """The parts between slashes; a slash in a class is none."""
    parts = [b""]
    for token in _TOKEN.findall(line):
        if token in (b"/", b"\\/"):
            parts.append(b"")
        else:
            parts[-1] += token
    return parts


def _without_trailing_spaces(line: bytes) -> bytes:
    end = len(line.rstrip(b" "))
    backslashes = end - len(line[:end].rstrip(b"\\"))
    return line[: end + 1] if backslashes % 2 else line[:end]


def _compiled(part: bytes) -> re.Pattern[bytes]:
    """A part without slashes as a regular expression; each `*` gives way no further than to the next fixed piece.

    Raises:
        ValueError: a class is not closed, or a backslash ends the line.
    """
    pieces, at = [b""], 0
    while at < len(part):
        if part[at : at + 1] == b"*":
            at += 1
            if pieces[-1] or len(pieces) == 1:
                pieces.append(b"")
        else:
            piece, at = _single(part, at)
            pieces[-1] += piece
    first, *rest = pieces
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    return re.compile(first + b"".join(b"(?>.*?" + piece + b")" for piece in middle) + b".*" + last, re.DOTALL)


def _single(part: bytes, at: int) -> tuple[bytes, int]:
    """What matches one byte, and where the part goes on behind it."""
    character = part[at : at + 1]
    if character == b"?":
        return b".", at + 1
    if character == b"\\":
        if at + 1 == len(part):
            raise ValueError("a backslash at the end")
        return re.escape(part[at + 1 : at + 2]), at + 2
    if character != b"[":
        return re.escape(character), at + 1
    match = _CLASS.match(part, at)
    if not match:
        raise ValueError("a class that is not closed")
    return _class(match), match.end()


def _class(match: re.Match[bytes]) -> bytes:
    items = b"".join(map(_item, _ITEM.finditer(match["items"])))
    if not items:
        return b"." if match["not"] else b"(?!)"
    return b"[^" + items + b"]" if match["not"] else b"[" + items + b"]"


def _item(match: re.Match[bytes]) -> bytes:
    """A class by name, a range, or one byte."""
    if name := match["name"]:
        return _CLASSES[name]
    low, high = match["low"], match["high"] or match["low"]
    return re.escape(low) + b"-" + re.escape(high) if low <= high else b""
