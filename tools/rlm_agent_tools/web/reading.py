"""Documents as text: read once each, and again by those who check what was said of them."""

import asyncio
import threading
from collections import OrderedDict
from dataclasses import dataclass

from rlm_agent.store.pages import StoredPage, StoredPages
from rlm_agent.tool_scope import tool_scope
from rlm_agent.web_addresses import normal
from rlm_agent_tools.documents.reader import Reading, read_document
from rlm_agent_tools.web.kinds import charset_of, kind_of

__all__ = ["NotRead", "PageAsRead", "Reader", "page_as_read"]

_MOST_READ = 32


class Reader:
    """Documents read so far, by what they hold: the pages of one are not parsed again and again."""

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[str, str], Reading] = OrderedDict()
        self._lock = threading.Lock()  # one tool may serve several loops at once

    async def read(self, page: StoredPage) -> Reading:
        """The text of a document.

        Raises:
            ToolException: it has none.
        """
        key = (page.sha256, page.final_url)
        if (known := self._read.get(key)) is not None:
            return known
        kind = kind_of(page.content_type, page.body)
        given = (kind, page.body, page.final_url, charset_of(page.content_type))
        reading = await asyncio.to_thread(read_document, *given)
        with self._lock:
            self._read[key] = reading
            while len(self._read) > _MOST_READ:
                self._read.popitem(last=False)
        return reading


class NotRead(LookupError):
    """The run has not read that page, or its bytes are not kept any more; the message says which."""


@dataclass(frozen=True, slots=True)
class PageAsRead:
    """A page as a run read it. `fetched` is ISO 8601, UTC; `date` is the page's own, where it has one."""

    url: str
    title: str | None
    date: str | None
    sha256: str
    fetched: str
    text: str


_reader = Reader()


async def page_as_read(url: str) -> PageAsRead:
    """A web page as `fetch_page` read it in this run: the same bytes, whatever is on the web by now.

    Args:
        url: as `LLMResult.sources` has it.

    Raises:
        NotRead: this run has not read it, or the bytes are gone.
    """
    scope, spelled = tool_scope(), normal(url)
    day = None if scope is None or spelled is None else scope.read_at(spelled)
    if scope is None or spelled is None or day is None:
        raise NotRead("this run has not read that address")
    pages = StoredPages(scope.home.path)
    page = await asyncio.to_thread(pages.get, spelled, day[:10], scope.read_sha256(spelled))
    if page is None:
        raise NotRead("the bytes that were read are not kept any more")
    reading = await _reader.read(page)
    return PageAsRead(page.url, reading.title, reading.date, page.sha256, page.fetched, reading.text)
