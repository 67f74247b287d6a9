"""Web tools for sub-agents: web_search and fetch_page, guarded against private networks and made-up addresses.

The plugin `web`: `web` alone searches by Tavily with `$TAVILY_API_KEY`. `web_tools(...)` makes the same in Python, with
any `SearchProvider`. Settings, what is guarded and what is not: docs/tools.md.
"""

from collections.abc import Iterable, Mapping

from langchain_core.tools import BaseTool

from rlm_agent_tools.settings import flag, known, number
from rlm_agent_tools.web.fetch_page import fetch_page_tool
from rlm_agent_tools.web.local_corpus import LocalCorpus
from rlm_agent_tools.web.options import WebOptions
from rlm_agent_tools.web.reading import NotRead, PageAsRead, page_as_read
from rlm_agent_tools.web.search import HoldsDocuments, SearchBusy, SearchProvider, SearchResult, web_search_tool
from rlm_agent_tools.web.tavily import Tavily

__all__ = [
    "HoldsDocuments",
    "LocalCorpus",
    "NotRead",
    "PageAsRead",
    "SearchBusy",
    "SearchProvider",
    "SearchResult",
    "Tavily",
    "WebOptions",
    "page_as_read",
    "tools",
    "web_tools",
]

_SETTINGS = (
    "api_key",
    "keyless",
    "corpus",
    "base",
    "results",
    "allow",
    "egress",
    "ports",
    "max_bytes",
    "redirects",
    "seconds",
)


def web_tools(
    provider: SearchProvider | None = None, options: WebOptions | None = None, *, results: int = 8
) -> list[BaseTool]:
    """web_search and fetch_page.

    Args:
        provider: where to search; None: Tavily, with the key of `$TAVILY_API_KEY`.
        options: what fetch_page may open, and how much of it.
        results: hits of a search.

    Raises:
        ConfigError: there is no provider and no key.
    """
    provider = provider or Tavily()
    held = provider if isinstance(provider, HoldsDocuments) else None
    return [web_search_tool(provider, count=results), fetch_page_tool(options, held)]


def tools(settings: Mapping[str, str]) -> Iterable[BaseTool]:
    """The plugin's entry point.

    Args:
        settings: of the search: `api_key`, `keyless`, `results`, or `corpus` (a directory to search in instead) with
            `base` (what addresses of its files begin with); of fetch_page: `allow`, `egress`, `ports`, `max_bytes`,
            `redirects`, `seconds`. Lists are separated by spaces.

    Raises:
        ConfigError: a setting is unknown or cannot work.
    """
    known("web", settings, _SETTINGS)
    options, results = WebOptions.from_settings(settings), number("web", settings, "results", 8)
    provider: SearchProvider
    if "corpus" in settings:
        base = {"base": settings["base"]} if "base" in settings else {}
        provider = LocalCorpus.from_directory(settings["corpus"], **base)
    else:
        provider = Tavily(settings.get("api_key"), keyless=flag("web", settings, "keyless"))
    return web_tools(provider, options, results=results)
