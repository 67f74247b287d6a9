"""`fetch_page`: an address in, a page of its text out, with where it came from."""

import asyncio
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from rlm_agent.bridge import run_sync
from rlm_agent.store.pages import StoredPage, StoredPages
from rlm_agent.tool_scope import ToolScope, tool_scope
from rlm_agent_tools.documents.reader import Reading
from rlm_agent_tools.paging import page_of
from rlm_agent_tools.untrusted import framed
from rlm_agent_tools.web.fetching import fetch
from rlm_agent_tools.web.kinds import kind_of
from rlm_agent_tools.web.leave import opened
from rlm_agent_tools.web.options import WebOptions
from rlm_agent_tools.web.pages import MemoryPages
from rlm_agent_tools.web.reading import Reader
from rlm_agent_tools.web.search import HoldsDocuments

__all__ = ["fetch_page_tool"]


def fetch_page_tool(options: WebOptions | None = None, held: HoldsDocuments | None = None) -> BaseTool:
    """The tool `fetch_page`.

    Args:
        options: what it may open, and how much of it.
        held: documents that are read there instead of over the network.
    """
    limits, memory, reader = options or WebOptions(), MemoryPages(), Reader()

    async def fetch_page(url: str, page: int = 1) -> tuple[str, dict[str, Any]]:
        """Fetches a web page or PDF and gives its text, a page at a time.

        Only addresses that the user gave, that a search returned, or that a page fetched before links to.

        Args:
            url: the address, exactly as it was given.
            page: which page of a long document, from 1.
        """
        scope = tool_scope()
        spelled = opened(url, limits, scope)
        if held is not None and (own := held.document(spelled)) is not None:
            document = await _held(spelled, own.text, scope)
            reading = Reading(own.title or None, own.date, own.text, ())
        else:
            document = await _document(spelled, limits, scope, memory)
            reading = await reader.read(document)
        shown = page_of(reading.text or "(no text)", page)
        source = _source(document, reading)
        head = {**source, "page": shown.label}
        return framed("web page", head, shown.text), {"sources": [source], "links": list(reading.links)}

    def fetch_page_sync(url: str, page: int = 1) -> tuple[str, dict[str, Any]]:
        return run_sync(lambda: fetch_page(url, page))

    tool = StructuredTool.from_function(
        coroutine=fetch_page, parse_docstring=True, response_format="content_and_artifact", handle_tool_error=True
    )
    tool.func = fetch_page_sync
    return tool


async def _held(url: str, text: str, scope: ToolScope | None) -> StoredPage:
    """A document of the search provider's own, kept as one that was fetched."""
    page = StoredPage.of(url, url, "text/plain; charset=utf-8", text.encode("utf-8", "replace"))
    return page if scope is None else await asyncio.to_thread(StoredPages(scope.home.path).put, page)


async def _document(url: str, options: WebOptions, scope: ToolScope | None, memory: MemoryPages) -> StoredPage:
    """The document of an address: as this run read it before, as it was read today, or fetched now."""
    pages: MemoryPages | StoredPages = memory if scope is None else StoredPages(scope.home.path)
    if (known := await _known(url, scope, memory)) is not None:
        return known
    fetched = await fetch(url, options)
    page = StoredPage.of(url, fetched.final_url, fetched.content_type, fetched.body)
    kind_of(page.content_type, page.body)  # what is not read is not kept
    return await asyncio.to_thread(pages.put, page)


async def _known(url: str, scope: ToolScope | None, memory: MemoryPages) -> StoredPage | None:
    if scope is None:
        return memory.get(url)
    pages, before = StoredPages(scope.home.path), scope.read_at(url)
    given = (before[:10], scope.read_sha256(url)) if before else (None, None)
    return await asyncio.to_thread(pages.get, url, *given)


def _source(page: StoredPage, reading: Reading) -> dict[str, Any]:
    return {
        "url": page.url,
        "final_url": page.final_url,
        "title": reading.title,
        "date": reading.date,
        "sha256": page.sha256,
        "fetched": page.fetched,
    }
