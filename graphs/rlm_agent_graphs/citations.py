"""Citations: an answer whose numbered sources have quotes, each compared by code with the page that was read.

    The text, which cites [1] and [2].

    Sources

    [1] Title, 2024-05-01, https://example.org/a
        "A sentence of the page." (on the page as read on 2026-11-26)
    [2] https://example.org/b
        "Another one." (NOT CONFIRMED: it is not on the page)

Invariant: what stands in brackets behind a quote is this module's word, never a model's: an answer that says otherwise
than the pages do is not accepted. A quote that is not there is delivered, and flagged.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import ToolException

from rlm_agent_graphs.quotes import fault
from rlm_agent_tools.web import NotRead, page_as_read

__all__ = ["checked", "cited"]

_HEAD = "\n\nSources\n\n"
_NONE = "(none: nothing in this answer was compared with a page)"
_MARK = re.compile(r"\[(\d+(?:\s*,\s*\d+)*)\]")
_ENTRY = re.compile(r"\[(\d+)\] (?:.*, )?(\S+)\n    (\".*\") \(.*\)")
_GIVEN = 'a source is {"url": ..., "quote": ...}, its url one of the `.sources` of a result'


@dataclass(frozen=True, slots=True)
class _Source:
    url: str
    quote: str


async def cited(text: str, sources: list[dict[str, Any]]) -> str:
    """Gives the text with its sources, [{"url", "quote"}, ...], each quote compared with the page that was read.

    Args:
        text: cites the sources as [1], [2] in their order.
        sources: "url" as `.sources` of a result has it, "quote" word for word from that page.

    Raises:
        ValueError: a source is none, or the text cites one that is not there.
    """
    read = [_source(number, source) for number, source in enumerate(sources, 1)]
    if wrong := _wrong_marks(text, len(read)):
        raise ValueError(wrong)
    return await _rendered(text.strip(), read)


async def checked(content: Any) -> str | None:
    """What is wrong with an answer, or None: it is not what `cited` makes of its text and sources."""
    complaint = "answer['content'] must be exactly what cited(text, sources) returned"
    text, head, tail = content.rpartition(_HEAD) if isinstance(content, str) else ("", "", "")
    entries = [] if tail == _NONE else _entries(tail)
    if not head or entries is None:
        return f"{complaint}: it has no list of sources."
    again = await cited(text, [{"url": source.url, "quote": source.quote} for source in entries])
    return None if again == content else f"{complaint}: its text or its sources were changed."


def _source(number: int, given: Any) -> _Source:
    url, quote = (given.get("url"), given.get("quote")) if isinstance(given, dict) else (None, None)
    if not isinstance(url, str) or not isinstance(quote, str) or not url.strip() or not quote.strip():
        raise ValueError(f"source {number}: {_GIVEN}")
    if len(url.split()) > 1:
        raise ValueError(f"source {number}: {url[:80]!r} is no address")
    return _Source(url.strip(), " ".join(quote.split()))


def _wrong_marks(text: str, count: int) -> str:
    marks = {int(number) for mark in _MARK.findall(text) for number in mark.split(",")}
    if missing := sorted(marks - set(range(1, count + 1))):
        return f"the text cites [{missing[0]}], and there are {count} sources: number them from 1, in their order"
    if unused := sorted(set(range(1, count + 1)) - marks):
        return f"source {unused[0]} is not cited in the text: cite it as [{unused[0]}], or leave it out"
    return ""


async def _rendered(text: str, sources: Sequence[_Source]) -> str:
    lines = await asyncio.gather(*(_line(number, source) for number, source in enumerate(sources, 1)))
    return f"{text}{_HEAD}" + ("\n".join(lines) or _NONE)


async def _line(number: int, source: _Source) -> str:
    quote = json.dumps(source.quote, ensure_ascii=False)
    try:
        page = await page_as_read(source.url)
    except (NotRead, ToolException) as error:
        return f"[{number}] {source.url}\n    {quote} (NOT CONFIRMED: {_words(error)})"
    known = ", ".join(filter(None, [_words(page.title or ""), page.date, source.url]))
    why = await asyncio.to_thread(fault, source.quote, page.text)
    verdict = f"NOT CONFIRMED: {why}" if why else f"on the page as read on {page.fetched[:10]}"
    return f"[{number}] {known}\n    {quote} ({verdict})"


def _words(what: object) -> str:
    return " ".join(str(what).replace('"', "'").split())[:200]


def _entries(tail: str) -> list[_Source] | None:
    """The sources of a list as `_rendered` writes it, or None where it is none."""
    found = [_ENTRY.fullmatch(entry) for entry in re.split(r"\n(?=\[)", tail)]
    try:
        return [_Source(match[2], json.loads(match[3])) for match in found if match] if all(found) else None
    except ValueError:
        return None
