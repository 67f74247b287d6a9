"""Search in documents of one's own, ranked by BM25, and their whole text: for tests, for work offline, for a dump.

Invariant: nothing leaves the process.
"""

import asyncio
import os
import re
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rlm_agent.errors import ConfigError
from rlm_agent.web_addresses import normal
from rlm_agent_tools.text import NotText, decoded
from rlm_agent_tools.web.search import SearchResult

__all__ = ["LocalCorpus"]

_WORD = re.compile(r"\w+")
_MOST_FILES, _MOST_BYTES = 20_000, 2_000_000
_SNIPPET = 500
_BASE = "http://corpus.invalid"  # a name that never leads anywhere (RFC 2606)


class LocalCorpus:
    """A search provider over documents that are given.

    Args:
        documents: address, title and text of each.
    """

    def __init__(self, documents: Iterable[SearchResult]) -> None:
        self._documents = list(documents)
        self._by_address = {normal(document.url): document for document in self._documents}
        self._index: Any = None
        self._lock = threading.Lock()

    @classmethod
    def from_directory(cls, path: str | Path, base: str = _BASE) -> "LocalCorpus":
        """The text files of a directory.

        Args:
            path: the directory.
            base: what their addresses begin with, before the path below the directory.

        Raises:
            ConfigError: it is no directory, or holds no text.
        """
        root = Path(path).expanduser()
        if not root.is_dir():
            raise ConfigError(f"web:corpus={path}: that is no directory.")
        files = sorted(file for file in root.rglob("*") if file.is_file() and not file.is_symlink())[:_MOST_FILES]
        found = [(file, text) for file in files if (text := _text(file)) is not None]
        if not found:
            raise ConfigError(f"web:corpus={path}: there is no text file in it.")
        return cls(
            SearchResult(f"{base.rstrip('/')}/{quote(os.fsencode(file.relative_to(root)))}", _shown(file), text)
            for file, text in found
        )

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        """The best hits, each with the part of its text that holds a word of the query."""
        return await asyncio.to_thread(self._search, query, count)

    def document(self, url: str) -> SearchResult | None:
        """The whole document of an address, or None: fetch_page reads it here instead of over the network."""
        return self._by_address.get(normal(url))

    def _search(self, query: str, count: int) -> list[SearchResult]:
        words = _words(query)
        if not self._documents or not words:
            return []
        scores = self._ranking().get_scores(words)
        best = sorted(range(len(self._documents)), key=lambda number: -scores[number])[:count]
        hits = (self._documents[number] for number in best if scores[number] > 0)
        return [SearchResult(hit.url, hit.title, _part(hit.text, words), hit.date) for hit in hits]

    def _ranking(self) -> Any:
        with self._lock:
            if self._index is None:
                import bm25s

                index = bm25s.BM25()
                index.index([_words(f"{d.title} {d.text}") or ["-"] for d in self._documents], show_progress=False)
                self._index = index
            return self._index


def _words(text: str) -> list[str]:
    """Words in one case; of scripts that are written without spaces or with endings, pairs of signs, too."""
    words = _WORD.findall(unicodedata.normalize("NFC", text).casefold())
    pairs = [word[i : i + 2] for word in words if not word.isascii() for i in range(len(word) - 1)]
    return words + pairs


def _part(text: str, words: list[str]) -> str:
    folded = text.casefold()
    places = [at for word in words if (at := folded.find(word)) >= 0]
    start = max(0, min(places, default=0) - _SNIPPET // 4)
    return text[start : start + _SNIPPET]


def _shown(file: Path) -> str:
    return os.fsencode(file.name).decode("utf-8", "replace")


def _text(file: Path) -> str | None:
    try:
        if file.stat().st_size > _MOST_BYTES:
            return None
        return decoded(file.read_bytes())
    except (OSError, NotText):
        return None
