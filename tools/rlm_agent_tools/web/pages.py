"""Fetched documents by address and day: in the run's home, so that a resumed run reads the same bytes again.

Invariant: a document appears whole or not at all, the first of an address and day stands, and what is given back is
what its sha256 says. Outside of a run a few documents are kept in memory.
"""

import hashlib
import json
import os
import shutil
import threading
import uuid
from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rlm_agent.store.home import Home
from rlm_agent.store.layout import private_file, sync_directory

__all__ = ["KEEP_DAYS", "MemoryPages", "StoredPage", "StoredPages"]

KEEP_DAYS = 30
"""Days after which fetched documents are removed."""

_MOST_IN_MEMORY = 16


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A fetched document. `fetched` is ISO 8601, UTC."""

    url: str
    final_url: str
    content_type: str
    fetched: str
    sha256: str
    body: bytes

    @classmethod
    def of(cls, url: str, final_url: str, content_type: str, body: bytes) -> "StoredPage":
        """A document fetched now."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return cls(url, final_url, content_type, now, hashlib.sha256(body).hexdigest(), body)


class MemoryPages:
    """The last few documents, in memory."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, StoredPage] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, url: str, day: str | None) -> StoredPage | None:
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


class StoredPages:
    """The documents in a home. Its methods block."""

    def __init__(self, home: Home) -> None:
        self._folder, self._tmp = home.path / "pages", home.path / "tmp"

    def get(self, url: str, day: str | None) -> StoredPage | None:
        """The document of an address as it was fetched on a day (None: today), or None."""
        return _read(self._file(url, day or _today()))

    def put(self, page: StoredPage) -> StoredPage:
        """Keeps a document on the disk; gives back the one that stands, which may have been there first."""
        target = self._file(page.url, page.fetched[:10])
        if not target.parent.is_dir():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
        draft = self._tmp / uuid.uuid4().hex
        try:
            with private_file(draft) as descriptor, open(descriptor, "wb", closefd=False) as file:
                file.write(_packed(page))
            stands = _linked(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(target.parent)
        return stands or page

    def _file(self, url: str, day: str) -> Path:
        return self._folder / day / hashlib.sha256(url.encode()).hexdigest()

    def _sweep(self) -> None:
        """Removes the days that are over for long."""
        oldest = (datetime.now(UTC) - timedelta(days=KEEP_DAYS)).date().isoformat()
        for day in self._folder.iterdir():
            if day.name < oldest:
                shutil.rmtree(day, ignore_errors=True)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _packed(page: StoredPage) -> bytes:
    head = {name: value for name, value in asdict(page).items() if name != "body"}
    return json.dumps(head).encode() + b"\n" + page.body


def _read(file: Path) -> StoredPage | None:
    """A document, or None where there is none that is whole."""
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        page = StoredPage(**json.loads(head), body=body)
    except (OSError, ValueError, TypeError):
        return None
    return page if hashlib.sha256(body).hexdigest() == page.sha256 else None


def _linked(draft: Path, target: Path) -> StoredPage | None:
    """Makes a draft appear under its name; where a whole one is there already, that one stands and is given."""
    try:
        os.link(draft, target)
    except FileExistsError:
        if (there := _read(target)) is not None:
            return there
        with suppress(FileNotFoundError):
            os.replace(draft, target)
    return None
