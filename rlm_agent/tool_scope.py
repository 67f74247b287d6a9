"""Where a tool of a sub-agent stands: which run it works for, the run's home, and which web addresses it may open.

For authors of tools, and of `repl_functions` and `check`: `tool_scope()` inside of the function. Invariant: the scope
is that of the run for which the function is called, in threads that it is run in, too; outside of a run there is none.

A tool made with `response_format="content_and_artifact"` may return, beside its text, the artifact
`{"sources": [{"url" | "path", "title", "date", "sha256", ...}], "links": [url, ...]}` of JSON values: sources come back
to the REPL as `LLMResult.sources`, links are what the run may open from then on. It is recorded with the tool's result.
"""

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rlm_agent.web_addresses import WebAddresses

if TYPE_CHECKING:
    from rlm_agent.store.home import Home

__all__ = ["ToolScope", "in_scope", "tool_scope"]

_scope: contextvars.ContextVar["ToolScope | None"] = contextvars.ContextVar("rlm_tool_scope", default=None)


@dataclass(frozen=True, slots=True)
class ToolScope:
    """Where a tool stands.

    Attributes:
        run: the run's id.
        home: the run's home.
        addresses: what the run may open.
    """

    run: str
    home: "Home"
    addresses: WebAddresses = field(default_factory=WebAddresses)

    def may_open(self, url: str) -> bool:
        """Whether the user gave this address, a search of the run returned it, or a page it read links to it."""
        return url in self.addresses

    def read_at(self, url: str) -> str | None:
        """When this run first read an address (ISO 8601, UTC), or None where it has not."""
        return self.addresses.read_at(url)

    def read_sha256(self, url: str) -> str | None:
        """The SHA-256 of the bytes that this run first read at an address, or None where that is not known."""
        return self.addresses.read_sha256(url)


def tool_scope() -> ToolScope | None:
    """The scope of the tool that is running, or None outside of a run."""
    return _scope.get()


@contextmanager
def in_scope(scope: ToolScope) -> Iterator[None]:
    """While a tool runs; for tests of tools, too."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)
