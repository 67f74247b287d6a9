"""Fetched documents by day and address, so that a resumed run reads the same bytes again.

    pages/2026-11-26/<sha256 of the address>      a line of JSON that says what it is, then its bytes

Invariant: a document appears whole or not at all, the first of an address and day stands, and what is given back is
what its sha256 says. Which of them a run has read follows from its ledger; those stay as long as the run.
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlm_agent.store.layout import private_file, sync_directory
from rlm_agent.web_addresses import normal

__all__ = ["PAGE_NAME", "StoredPage", "StoredPages", "pages_named"]

PAGE_NAME = r"\d{4}-\d\d-\d\d/[0-9a-f]{64}(?:-[0-9a-f]{64})?"
"""A document's name below `pages/`; other bytes of an address and day, of an import, have their digest added to it."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


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

    @property
    def name(self) -> str:
        """Its name below `pages/`, where it is the first of its address and day."""
        return _name(self.url, self.fetched[:10])


class StoredPages:
    """The documents in a home.

    Its methods block.

    Args:
        home: the home's directory.
    """

    def __init__(self, home: Path) -> None:
        self._folder, self._tmp = home / "pages", home / "tmp"

    def get(self, url: str, day: str | None = None, sha256: str | None = None) -> StoredPage | None:
        """The document of an address, or None where it is not kept.

        Args:
            url: as it was fetched.
            day: when (UTC); None: today.
            sha256: of which bytes; None: those that stand.
        """
        name = _name(url, day or datetime.now(UTC).date().isoformat())
        page = _read(self._folder / name)
        if page is not None and sha256 in (None, page.sha256):
            return page
        return None if sha256 is None else _read(self._folder / f"{name}-{sha256}")

    def put(self, page: StoredPage) -> StoredPage:
        """Keeps a document on the disk; gives back the one that stands, which may have been there first."""
        return self._stored(page, page.name) or page

    def receive(self, name: str, packed: bytes) -> bool:
        """Keeps a document of another home, also beside one that stands here; whether it is one of that name."""
        page = _unpacked(packed)
        if page is None or page.name != name:
            return False
        if self.put(page).sha256 != page.sha256:
            self._stored(page, f"{name}-{page.sha256}")
        return True

    def packed(self, name: str, sha256: str) -> bytes | None:
        """A document as `receive` takes it, or None where it is not kept."""
        for file in (self._folder / name, self._folder / f"{name}-{sha256}"):
            if (page := _read(file)) is not None and page.sha256 == sha256:
                return _packed(page)
        return None

    def _stored(self, page: StoredPage, name: str) -> StoredPage | None:
        """Makes a document appear under a name; where a whole one is there already, that one stands and is given."""
        target, draft = self._folder / name, self._tmp / uuid.uuid4().hex
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with private_file(draft) as descriptor, open(descriptor, "wb", closefd=False) as file:
                file.write(_packed(page))
            stands = _linked(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(target.parent)
        return stands


def pages_named(step: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The documents that a recorded tool result says it read: (name, sha256). What is not as they are is passed over.

    Args:
        step: the body of the record.
    """
    with suppress(KeyError, TypeError, AttributeError):
        for source in step["message"]["data"]["artifact"]["sources"]:
            url, day, sha256 = (source.get(key) for key in ("url", "fetched", "sha256"))
            spelled = normal(url) if isinstance(url, str) else None
            if spelled is not None and _DAY.fullmatch(str(day)[:10]) and re.fullmatch("[0-9a-f]{64}", str(sha256)):
                yield _name(spelled, str(day)[:10]), str(sha256)


def _name(url: str, day: str) -> str:
    return f"{day}/{hashlib.sha256(url.encode()).hexdigest()}"


def _packed(page: StoredPage) -> bytes:
    head = {name: value for name, value in asdict(page).items() if name != "body"}
    return json.dumps(head).encode() + b"\n" + page.body


def _unpacked(packed: bytes) -> StoredPage | None:
    """A document, or None where it is none that is whole."""
    head, _, body = packed.partition(b"\n")
    try:
        page = StoredPage(**json.loads(head), body=body)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (page.url, page.final_url, page.content_type, page.fetched)
    whole = all(isinstance(text, str) for text in texts) and hashlib.sha256(body).hexdigest() == page.sha256
    return page if whole else None


def _read(file: Path) -> StoredPage | None:
    try:
        return _unpacked(file.read_bytes())
    except OSError:
        return None


def _linked(draft: Path, target: Path) -> StoredPage | None:
    try:
        os.link(draft, target)
    except FileExistsError:
        if (there := _read(target)) is not None:
            return there
        with suppress(FileNotFoundError):
            os.replace(draft, target)
    return None
