"""One document over HTTP: redirects followed by hand, every hop checked, everything bounded.

The transport is httpx2's own (httpcore2), used bare: no cookies, no proxy, no credentials of the environment, no hidden
redirect or decompression. Invariant: what comes back is the whole body of a successful reply, or a ToolException.
"""

import asyncio
import ssl
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import httpcore2
import httpx2
from langchain_core.tools import ToolException

from rlm_agent_tools.web.inflate import Inflater, accepted
from rlm_agent_tools.web.leave import check_form
from rlm_agent_tools.web.network import Guard
from rlm_agent_tools.web.options import WebOptions

__all__ = ["Fetched", "fetch"]

_REDIRECTS = (301, 302, 303, 307, 308)
_ACCEPT = b"text/html,application/xhtml+xml,application/pdf,text/*;q=0.9,application/json;q=0.9,*/*;q=0.1"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, where it came from in the end, and what its server said it is."""

    final_url: str
    content_type: str
    body: bytes


async def fetch(url: str, options: WebOptions) -> Fetched:
    """Fetches a document.

    Args:
        url: well formed (`leave.check_form`), and one that may be opened.
        options: the limits.

    Raises:
        ToolException: it cannot be had; the message says why.
    """
    try:
        async with asyncio.timeout(options.seconds), _pool(options) as pool:
            return await _followed(pool, url, options)
    except TimeoutError:
        raise ToolException(f"The page did not come within {options.seconds:g} s.") from None
    except httpcore2.TimeoutException:
        raise ToolException("The server does not answer in time.") from None
    except httpcore2.RemoteProtocolError:
        raise ToolException("The server broke off in the middle, or does not speak HTTP.") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError, OSError) as error:
        raise ToolException(f"The server cannot be reached ({type(error).__name__}).") from None


def _pool(options: WebOptions) -> httpcore2.AsyncConnectionPool:
    return httpcore2.AsyncConnectionPool(ssl_context=_trust(), max_connections=4, network_backend=Guard(options))


@cache
def _trust() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


async def _followed(pool: httpcore2.AsyncConnectionPool, url: str, options: WebOptions) -> Fetched:
    seen = [url]
    while True:
        async with pool.stream(
            "GET", _target(seen[-1]), headers=_headers(seen[-1]), extensions=_times(options)
        ) as reply:
            headers = _read_headers(reply)
            if reply.status not in _REDIRECTS or "location" not in headers:
                return await _fetched(reply, headers, seen[-1], options)
        seen.append(_next(seen, headers["location"], options))


def _target(url: str) -> httpcore2.URL:
    parsed = httpx2.URL(url)
    return httpcore2.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)


def _headers(url: str) -> list[tuple[bytes, bytes]]:
    agent = f"langgraph-rlm/{_version()}".encode()
    host = httpx2.URL(url).netloc
    return [(b"Host", host), (b"User-Agent", agent), (b"Accept", _ACCEPT), (b"Accept-Encoding", b"gzip, deflate")]


@cache
def _version() -> str:
    return version("langgraph-rlm")


def _times(options: WebOptions) -> dict[str, dict[str, float]]:
    some = min(10.0, options.seconds)
    return {"timeout": {"connect": some, "read": some, "write": some, "pool": some}}


def _read_headers(reply: httpcore2.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reply.headers}


def _next(seen: list[str], location: str, options: WebOptions) -> str:
    try:
        joined = str(httpx2.URL(seen[-1]).join(location))
    except (httpx2.InvalidURL, ValueError, UnicodeError):
        raise ToolException("The page redirects to what is no address.") from None
    try:
        following = check_form(joined, options)
    except ToolException as error:
        raise ToolException(f"The page redirects to what is not opened: {error}") from None
    if following in seen:
        raise ToolException("The page redirects in a circle.")
    if len(seen) > options.redirects:
        raise ToolException(f"The page redirects more than {options.redirects} times.")
    return following


async def _fetched(reply: httpcore2.Response, headers: dict[str, str], url: str, options: WebOptions) -> Fetched:
    if reply.status != 200:
        raise ToolException(f"The server answers {reply.status}: the page cannot be had.")
    coding = headers.get("content-encoding", "").strip().lower()
    if not accepted(coding):
        raise ToolException("The page comes in a compression that was not asked for.")
    told = headers.get("content-length", "")
    inflater = Inflater(coding, options.max_bytes, options.max_ratio)
    if told.isdecimal() and int(told) > options.max_bytes:
        raise ToolException(f"The page has more than {options.max_bytes:,} bytes, which is the most that is read.")
    size = 0
    async for data in reply.aiter_stream():
        size += len(data)
        if size > options.max_bytes:
            raise ToolException(f"The page has more than {options.max_bytes:,} bytes, which is the most that is read.")
        inflater.add(data)
    return Fetched(url, headers.get("content-type", ""), inflater.end())
