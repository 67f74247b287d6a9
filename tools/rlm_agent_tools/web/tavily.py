"""Search by Tavily, over its own client: its answers as hits, its errors as ours."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.tools import ToolException

from rlm_agent.environment import tavily_key
from rlm_agent.errors import ConfigError
from rlm_agent_tools.web.search import SearchBusy, SearchResult

__all__ = ["Tavily"]


class Tavily:
    """A search provider.

    Args:
        api_key: the key; None: `$TAVILY_API_KEY`.
        keyless: search without a key where there is none, within the narrow limits that Tavily gives.
        base_url: of the service, for a proxy or a test.
        seconds: for one request.

    Raises:
        ConfigError: there is no key, and `keyless` is not set.
    """

    def __init__(
        self, api_key: str | None = None, *, keyless: bool = False, base_url: str | None = None, seconds: float = 20.0
    ) -> None:
        self._key = api_key or tavily_key()
        if self._key is None and not keyless:
            raise ConfigError(
                "web_search needs a key of Tavily: set TAVILY_API_KEY, or give it (web:api_key=...); or search without "
                "one (web:keyless=true), or in a corpus of your own (web:corpus=DIRECTORY)."
            )
        self._base_url, self._seconds = base_url, seconds

    def __repr__(self) -> str:
        return f"Tavily({'with a key' if self._key else 'keyless'})"

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        """The best hits.

        Raises:
            SearchBusy: too many requests, a failure of the service, no answer in time.
            ToolException: the key or the request is refused.
        """
        import httpx
        from tavily import AsyncTavilyClient

        # A client a search: its connections belong to one event loop, and searches are made from several.
        async with AsyncTavilyClient(api_key=self._key or "", api_base_url=self._base_url) as client:
            try:
                found = await client.search(query, max_results=min(count, 20), timeout=self._seconds)
            except httpx.HTTPStatusError as error:
                raise _by_status(error.response.status_code) from error
            except httpx.HTTPError as error:
                raise SearchBusy(f"no connection ({type(error).__name__})") from error
            except Exception as error:
                raise _mapped(error) from error
        return [hit for item in _items(found) if (hit := _hit(item)) is not None]


def _mapped(error: Exception) -> Exception:
    """Tavily's own errors; any other is as it was."""
    from tavily import errors

    refusals: tuple[tuple[type[Exception], Callable[[], Exception]], ...] = (
        (errors.UsageLimitExceededError, lambda: SearchBusy("too many requests (429)", _wait_of(error))),
        (errors.TimeoutError, lambda: SearchBusy("no answer in time")),
        (errors.InvalidAPIKeyError, lambda: ToolException("The search's key is refused: web_search cannot be used.")),
        (errors.ForbiddenError, lambda: ToolException("The search's plan is used up: web_search cannot be used.")),
        (errors.BadRequestError, lambda: ToolException("The search does not take this query: ask differently.")),
        (ValueError, lambda: SearchBusy("an answer that is no JSON")),
    )
    return next((made() for kind, made in refusals if isinstance(error, kind)), error)


def _by_status(status: int) -> Exception:
    if status >= 500 or status in (408, 425, 429):
        return SearchBusy(f"status {status}")
    return ToolException(f"The search answers with status {status}: web_search cannot be used.")


def _wait_of(error: Exception) -> float | None:
    wait = getattr(error, "retry_after_seconds", None)
    return float(wait) if isinstance(wait, int | float) else None


def _items(found: Any) -> list[Any]:
    results = found.get("results") if isinstance(found, dict) else None
    return results if isinstance(results, list) else []


def _hit(item: Any) -> SearchResult | None:
    """One hit; None where the service sent something else."""
    if not isinstance(item, dict) or not isinstance(item.get("url"), str):
        return None
    date = item.get("published_date")
    title, text = str(item.get("title") or ""), str(item.get("content") or "")
    return SearchResult(item["url"], title, text, str(date) if date else None)
