"""Fetched documents outside of a run: the last few, in memory. A home keeps those of its runs."""

import threading
from collections import OrderedDict

from rlm_agent.store.pages import StoredPage

__all__ = ["MemoryPages"]

_MOST_IN_MEMORY = 16


class MemoryPages:
    """The last few documents, in memory."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, StoredPage] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, url: str) -> StoredPage | None:
        """The document of an address, or None."""
        with self._lock:
            return self._pages.get(url)

    def put(self, page: StoredPage) -> StoredPage:
        """Keeps a document; gives back the one that stands."""
        with self._lock:
            self._pages[page.url] = page
            while len(self._pages) > _MOST_IN_MEMORY:
                self._pages.popitem(last=False)
            return page
