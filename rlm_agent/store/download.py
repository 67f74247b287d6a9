"""What an http or https address holds, fetched into a file.

For addresses that the user of this library gives himself: nothing is asked about where they lead, private networks
included. Invariant: of no reply more than the cap is kept, nothing of a redirect's own reply is read.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from rlm_agent.errors import ConfigError
from rlm_agent.store.charset import CHUNK
from rlm_agent.store.failures import explained

if TYPE_CHECKING:
    import httpx2

__all__ = ["ADDRESS", "Fetched", "fetch", "shown", "trail"]

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S*\Z", re.IGNORECASE)

_REDIRECTS = 5
_CONNECT_SECONDS, _SILENT_SECONDS = 10.0, 30.0
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A reply's body in a file, and the charset that the server told, or none."""

    path: Path
    size: int
    declared: str


def trail(address: str) -> tuple[str, ...]:
    """The host and the names in an address's path.

    Raises:
        ConfigError: it is no http or https address.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise ConfigError(f"{shown(address)} is no address ({error}).") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"Corpus.load fetches http and https addresses, not {shown(address)}: download it and give the file."
        )
    return (parts.netloc.rpartition("@")[2], *(unquote(name) for name in parts.path.split("/") if name))


def shown(address: str) -> str:
    """An address for people: without user and password."""
    return re.sub(r"(?<=://)[^/?#]*@", "", address)


def fetch(address: str, target: Path, most: int) -> Fetched:
    """Fetches an address into a new file.

    Raises:
        ConfigError: it cannot be fetched, or sends more than `most` bytes; the message names it and the status.
        HomeError: the file cannot be written.
    """
    import httpx2

    timeout = httpx2.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS)
    headers = {"Accept-Encoding": "identity", "User-Agent": "langgraph-rlm"}
    try:
        with httpx2.Client(timeout=timeout, headers=headers) as client, _reply(client, address) as reply:
            size = _written(reply, address, target, most)
            match = _CHARSET.search(reply.headers.get("content-type", ""))
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        raise ConfigError(f"{shown(address)} cannot be fetched ({type(error).__name__}: {error}).") from error
    return Fetched(target, size, match[1] if match else "")


@contextmanager
def _reply(client: "httpx2.Client", address: str) -> Iterator["httpx2.Response"]:
    """The reply after redirects, whose own bodies are not read: a client that follows them reads those whole."""
    request = client.build_request("GET", address)
    for _ in range(_REDIRECTS + 1):
        reply = client.send(request, stream=True)
        try:
            if not reply.has_redirect_location or reply.next_request is None:
                _check(reply, address)
                yield reply
                return
            request = reply.next_request
        finally:
            reply.close()
    raise ConfigError(f"{shown(address)} cannot be fetched: it redirects more than {_REDIRECTS} times.")


def _check(reply: "httpx2.Response", address: str) -> None:
    if not reply.is_success:
        raise ConfigError(f"{shown(address)} cannot be fetched: {reply.status_code} {reply.reason_phrase}.")
    coding = reply.headers.get("content-encoding", "identity").lower()
    if coding not in ("identity", "gzip", "x-gzip", ""):  # gzip is unpacked as any other compressed file is
        raise ConfigError(f"{shown(address)} sends {coding}, which was not asked for: download it and give the file.")


def _written(reply: "httpx2.Response", address: str, target: Path, most: int) -> int:
    too_long = ConfigError(
        f"{shown(address)} sends more than {most:,} bytes, which is the most that is fetched: download it and give the "
        "file."
    )
    told = reply.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise too_long
    size = 0
    with explained(target.parent), open(target, "xb") as file:
        for data in reply.iter_raw(CHUNK):
            size += len(data)
            if size > most:
                raise too_long
            file.write(data)
    return size
