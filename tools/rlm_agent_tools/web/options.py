"""How the web tools may behave: a frozen value, from Python or from a plugin's settings. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from rlm_agent.errors import ConfigError
from rlm_agent_tools.settings import number, words

__all__ = ["Resolver", "WebOptions"]

Resolver = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class WebOptions:
    """What `fetch_page` may open, and how much of it.

    Args:
        allow: patterns of addresses that are open without having been given or found: "docs.python.org",
            "*.example.org/guide/*", "https://example.org/a*". A host is matched whole, or by "*." and its ending.
        egress: "known": what the user gave, a search returned, a page read in the run links to, or `allow` names;
            "any": every public address, which lets a page carry out what a sub-agent knows.
        ports: TCP ports that may be connected to.
        max_bytes: of a document, as it is sent, and again when it is decompressed to more than that.
        max_ratio: decompressed bytes a byte sent, beyond the first million.
        redirects: how many are followed.
        seconds: for one document, from the look-up of its host's name to its last byte.
        reach: (address, port) pairs that may be connected to though they are not public; meant for tests.
        resolve: (host, port) -> addresses; None: the system's.

    Raises:
        ConfigError: a value is out of range.
    """

    allow: tuple[str, ...] = ()
    egress: Literal["known", "any"] = "known"
    ports: frozenset[int] = frozenset({80, 443})
    max_bytes: int = 8_000_000
    max_ratio: int = 100
    redirects: int = 5
    seconds: float = 30.0
    reach: frozenset[tuple[str, int]] = frozenset()
    resolve: Resolver | None = None

    def __post_init__(self) -> None:
        if self.egress not in ("known", "any"):
            raise ConfigError(f"web:egress={self.egress}: give 'known' or 'any'.")
        if min(self.max_bytes, self.max_ratio, self.seconds) <= 0 or self.redirects < 0:
            raise ConfigError("web: sizes, times and counts are above 0.")

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> "WebOptions":
        """The options that a plugin's settings name: allow, egress, ports, max_bytes, redirects, seconds."""
        ports = words(settings, "ports") or ("80", "443")
        if not all(port.isdecimal() and port.isascii() and 0 < int(port) < 65536 for port in ports):
            raise ConfigError(f"web:ports={settings['ports']}: give port numbers, separated by spaces.")
        return cls(
            allow=words(settings, "allow"),
            egress=settings.get("egress", "known"),  # type: ignore[arg-type]  # checked when made
            ports=frozenset(map(int, ports)),
            max_bytes=number("web", settings, "max_bytes", 8_000_000),
            redirects=number("web", settings, "redirects", 5),
            seconds=number("web", settings, "seconds", 30),
        )
