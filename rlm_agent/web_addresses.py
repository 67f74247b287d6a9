"""Web addresses that a run may open, and how they are found in texts. Pure.

Invariant: an address is in the set only because a text of the user's names it, or because a tool of the run returned
it; what a model wrote adds nothing. Two spellings of one address are one: scheme and host in lower case, no default
port, no fragment.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

__all__ = ["WebAddresses", "named_in", "normal", "user_texts"]

_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\^{}]{1,4096}", re.IGNORECASE)
_CLOSING = ".,;:!?*_~)]}>’”»、。，；：！？）】』」》"
_PORTS = {"http": 80, "https": 443}
_LONGEST = 4096
_MOST_CLOSING = 16


def normal(url: str) -> str | None:
    """The one spelling of an address, or None where it is no http or https address with a host.

    Args:
        url: as a text, a model or a page writes it; characters that are not ASCII may stand in it.
    """
    if len(url) > _LONGEST:
        return None
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not host:
        return None
    return _joined(parts, scheme, host, port)


def _joined(parts: SplitResult, scheme: str, host: str, port: int | None) -> str | None:
    from httpx2 import URL, InvalidURL

    user = parts.netloc.rpartition("@")[0]
    where = f"[{host}]" if ":" in host else host
    where += "" if port in (None, _PORTS[scheme]) else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    try:
        return str(URL(f"{scheme}://{f'{user}@' if user else ''}{where}{parts.path or '/'}{query}"))
    except (InvalidURL, ValueError, UnicodeError):
        return None


def named_in(text: str) -> Iterator[str]:
    """The addresses in a text, each in the spellings that a reader could mean.

    Prose puts a bracket, a full stop or a particle right behind an address: it is read with and without them.
    """
    for match in _ADDRESS.finditer(text):
        readings = [match[0]]
        ascii_part = re.match(r"[\x21-\x7e]+", match[0])
        if ascii_part is not None:
            readings.append(ascii_part[0])
        yield from dict.fromkeys(shorter for reading in readings for shorter in _shortened(reading))


def _shortened(reading: str) -> Iterator[str]:
    yield reading
    for _ in range(_MOST_CLOSING):
        if reading[-1:] not in _CLOSING:
            break
        reading = reading[:-1]
        yield reading


def user_texts(message: Any, earlier: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What of a conversation a person wrote: the message, and earlier ones of user and system.

    Args:
        message: a text, or content blocks.
        earlier: [{"role", "content"}, ...]; what the assistant said is a model's, and left out.
    """
    for content in [message, *(entry["content"] for entry in earlier if entry["role"] in ("user", "system"))]:
        if isinstance(content, str):
            yield content
        elif isinstance(content, Sequence):
            yield from (block["text"] for block in content if isinstance(block, dict) and "text" in block)


class WebAddresses:
    """The addresses that one run may open, and when it read which of them."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._read: dict[str, tuple[str, str | None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, url: str) -> bool:
        spelling = normal(url)
        return spelling is not None and spelling in self._open

    def add(self, urls: Iterable[Any]) -> None:
        """Adds addresses; what is none is passed over."""
        self._open.update(spelling for url in urls if isinstance(url, str) and (spelling := normal(url)) is not None)

    def add_texts(self, texts: Iterable[str]) -> None:
        """Adds the addresses that texts of the user's name."""
        for text in texts:
            self.add(named_in(text))

    def add_artifact(self, artifact: Any) -> None:
        """Adds what a tool returned beside its text: its `links`, and when it fetched its `sources`."""
        if not isinstance(artifact, dict):
            return
        self.add(_list(artifact, "links"))
        for source in _list(artifact, "sources"):
            if isinstance(source, dict) and isinstance(source.get("url"), str) and source.get("fetched"):
                sha256 = source.get("sha256")
                read = str(source["fetched"]), sha256 if isinstance(sha256, str) else None
                self._read.setdefault(normal(source["url"]) or "", read)

    def read_at(self, url: str) -> str | None:
        """When the run first read an address (ISO 8601, UTC), or None where it has not."""
        return self._read.get(normal(url) or "-", (None, None))[0]

    def read_sha256(self, url: str) -> str | None:
        """The digest of the bytes that the run first read at an address, or None where that is not known."""
        return self._read.get(normal(url) or "-", (None, None))[1]


def _list(artifact: Mapping[str, Any], name: str) -> list[Any]:
    value = artifact.get(name)
    return value if isinstance(value, list) else []
