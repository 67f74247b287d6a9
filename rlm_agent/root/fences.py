"""Reads a root reply: which of its text is code to run, and which is reasoning.

Owns the rules of fenced blocks (contract, section 4). Pure, and total: any text, however hostile, gives a
`ParsedReply` in bounded time. A fence is closed by the first closing line at which its body parses as Python, so that
a fence quoted inside a Python string does not end the block. Running the code is the kernel's business.
"""

import ast
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

__all__ = ["ParsedReply", "parse_reply"]

MAX_CHARS = 1_000_000
MAX_CLOSINGS = 50
"""Closing lines tried for one block."""
MAX_PARSED = 4 * MAX_CHARS
"""Characters parsed for one reply, over all tries; past that the first closing line is taken unseen."""
PARSE_COST = 100
"""What one try counts beside its characters."""

_CODE_TAGS = frozenset({"python", "py", "repl"})
_OPENING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)
_CLOSING = re.compile(r"[ \t]*(?P<fence>`{3,}|~{3,})[ \t\r]*")
_TAG = re.compile(r"[\w.+#-]*")
_HARMLESS_ESCAPE = re.compile(r"\\([^\n\r\"'\\])")


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """A root reply, taken apart.

    Attributes:
        blocks: the code to run, in order; empty when the reply holds none.
        reasoning: the text outside the blocks.
        cut: the reply ends inside a code block that is no whole program, as a reply does that hit a token limit.
    """

    blocks: tuple[str, ...]
    reasoning: str
    cut: bool = False


class _Opening(NamedTuple):
    line: int
    indent: int
    mark: str
    tag: str | None
    """"code", "" for a fence without a tag, None for any other tag."""


class _Fence(NamedTuple):
    first: int
    stop: int
    tag: str | None
    body: str
    parses: bool
    closed: bool


def parse_reply(text: str, *, cut_off: bool = False) -> ParsedReply:
    """Takes a reply apart.

    Args:
        text: the reply as the model gave it; what is beyond 1 MB is not read.
        cut_off: the provider says that it ended at a token limit: a block that is still open then is no whole program,
            even if it parses.

    Returns:
        Blocks tagged python, py or repl; a fence without a tag counts if it is the only one and parses as Python.
    """
    reader = _Reader(text[:MAX_CHARS].replace("\r\n", "\n").split("\n"))
    fences = reader.fences()
    code = [f for f in fences if f.tag == "code"]
    if len(fences) == 1 and fences[0].tag == "" and fences[0].parses and fences[0].body.strip():
        code = fences
    whole = [f for f in code if f.closed or (f.parses and f.body.strip() and not cut_off)]
    cut = cut_off or len(whole) < len(code)
    blocks = tuple(f.body for f in whole if f.body.strip())
    return ParsedReply(blocks, _outside(reader.lines, code), cut)


def _outside(lines: Sequence[str], code: Sequence[_Fence]) -> str:
    """The lines that belong to none of these fences."""
    kept: list[str] = []
    start = 0
    for fence in code:
        kept += lines[start : fence.first]
        start = fence.stop
    return "\n".join([*kept, *lines[start:]]).strip()


class _Reader:
    """Finds the fences of one reply. Closing lines are found once, and the parsing it does is accounted for."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self._closings = [(n, m["fence"]) for n, line in enumerate(lines) if (m := _CLOSING.fullmatch(line))]
        self._parsed = 0

    def fences(self) -> list[_Fence]:
        """All fences, in order, none inside another."""
        found: list[_Fence] = []
        line = 0
        while line < len(self.lines):
            opening = _opening(line, self.lines[line])
            fence = self._fence(opening) if opening else None
            if fence:
                found.append(fence)
            line = fence.stop if fence else line + 1
        return found

    def _fence(self, opening: _Opening) -> _Fence | None:
        """The fence that begins here, or None for a stray mark."""
        closings = self._closings_for(opening)
        if not closings:
            return self._cut_out(opening, len(self.lines), closed=False)
        if opening.tag is None:
            return self._cut_out(opening, closings[0], closed=True)
        for closing in closings:
            if self._parsed > MAX_PARSED:
                break
            fence = self._cut_out(opening, closing, closed=True)
            if fence.parses:
                return fence
        if opening.tag == "" and self._holds_code_fence(opening.line + 1, closings[0]):
            return None
        return self._cut_out(opening, closings[0], closed=True)

    def _closings_for(self, opening: _Opening) -> list[int]:
        """The first lines that could close this fence: same character, at least as long."""
        start = bisect_right(self._closings, opening.line, key=lambda closing: closing[0])
        later = (self._closings[n] for n in range(start, len(self._closings)))
        return list(islice((line for line, mark in later if mark.startswith(opening.mark)), MAX_CLOSINGS))

    def _cut_out(self, opening: _Opening, stop: int, *, closed: bool) -> _Fence:
        body = "\n".join(_unindent(line, opening.indent) for line in self.lines[opening.line + 1 : stop])
        parses = opening.tag is not None and self._parses(body)
        return _Fence(opening.line, stop + closed, opening.tag, body, parses, closed)

    def _holds_code_fence(self, start: int, stop: int) -> bool:
        return any((o := _opening(n, self.lines[n])) and o.tag == "code" for n in range(start, stop))

    def _parses(self, code: str) -> bool:
        self._parsed += len(code) + PARSE_COST
        return self._parsed <= MAX_PARSED and parses_as_python(code)


def _opening(number: int, line: str) -> _Opening | None:
    match = _OPENING.fullmatch(line)
    if match is None or (match["fence"][0] == "`" and "`" in match["info"]):
        return None
    info = match["info"].strip().lower()
    tag = _TAG.match(info)
    kind = "code" if tag and tag[0] in _CODE_TAGS else None
    return _Opening(number, len(match["indent"]), match["fence"], kind if info else "")


def _unindent(line: str, width: int) -> str:
    """Takes away the indentation that the fence itself has."""
    blank = len(line) - len(line.lstrip(" \t"))
    return line[min(width, blank) :]


def parses_as_python(code: str) -> bool:
    r"""Whether this is a whole Python program, top-level await allowed. Never raises.

    Escapes like `\d` are made harmless first: Python would warn about them, and silencing a warning changes a filter
    that all threads of the host share.
    """
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        compile(_HARMLESS_ESCAPE.sub(r"x\1", code), "<reply>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    return True
