"""`web_search`, over any provider: one protocol, retries, and results in a frame."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rlm_agent.bridge import run_sync
from rlm_agent_tools.untrusted import framed, one_line

__all__ = ["HoldsDocuments", "SearchBusy", "SearchProvider", "SearchResult", "web_search_tool"]

TRIES = 4
FIRST_WAIT = 1.0
_SNIPPET_CHARS = 600
_QUERY_CHARS = 400


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One hit. `date` is ISO 8601 where the provider knows it."""

    url: str
    title: str
    text: str
    date: str | None = None


class SearchProvider(Protocol):
    """Where `web_search` searches."""

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        """The best hits, the best one first.

        Raises:
            SearchBusy: it may work a little later.
            ToolException: it cannot work; the message is for the sub-agent to read.
        """
        ...


@runtime_checkable
class HoldsDocuments(Protocol):
    """A provider that holds what it finds: fetch_page then reads it there."""

    def document(self, url: str) -> SearchResult | None:
        """The whole document of an address, or None where it has none."""
        ...


class SearchBusy(Exception):
    """The provider cannot answer now. `wait` is what it asked to wait, in seconds, where it said so."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


def web_search_tool(
    provider: SearchProvider, *, count: int = 8, jitter: Callable[[], float] = random.random
) -> BaseTool:
    """The tool `web_search`.

    Args:
        provider: where it searches.
        count: hits of a search.
        jitter: a number from 0 to 1, by which waits are spread.
    """

    async def web_search(query: str) -> tuple[str, dict[str, Any]]:
        """Searches the web; fetch_page opens what it finds.

        Args:
            query: what to look for, in words.
        """
        words = " ".join(query.split())[:_QUERY_CHARS]
        if not words:
            raise ToolException("The query is empty.")
        found = list(await _searched(provider, words, count, jitter))[:count]
        text = "\n\n".join(_shown(number, hit) for number, hit in enumerate(found, 1)) or "(nothing was found)"
        links = [hit.url for hit in found]
        return framed("list of search results", {"query": words}, text), {"sources": [], "links": links}

    def web_search_sync(query: str) -> tuple[str, dict[str, Any]]:
        return run_sync(lambda: web_search(query))

    tool = StructuredTool.from_function(
        coroutine=web_search, parse_docstring=True, response_format="content_and_artifact", handle_tool_error=True
    )
    tool.func = web_search_sync
    return tool


async def _searched(
    provider: SearchProvider, query: str, count: int, jitter: Callable[[], float]
) -> Sequence[SearchResult]:
    for attempt in range(TRIES):
        try:
            return await provider.search(query, count)
        except SearchBusy as busy:
            if attempt == TRIES - 1:
                raise ToolException(f"The search did not answer, {TRIES} times over: {busy}.") from busy
            wait = busy.wait if busy.wait is not None else FIRST_WAIT * 2**attempt * (0.5 + jitter())
            await asyncio.sleep(min(wait, 60.0))
    raise AssertionError("the loop returns or raises")


def _shown(number: int, hit: SearchResult) -> str:
    date = f" ({one_line(hit.date, 40)})" if hit.date else ""
    return f"{number}. {one_line(hit.title, 200)}{date}\n{hit.url}\n{one_line(hit.text, _SNIPPET_CHARS)}"
