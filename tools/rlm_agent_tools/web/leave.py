"""Whether an address may be opened: its form, and whose it is. Pure; where it leads is `network.py`'s business."""

from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from langchain_core.tools import ToolException

from rlm_agent.tool_scope import ToolScope
from rlm_agent.web_addresses import normal
from rlm_agent_tools.web.options import WebOptions

__all__ = ["check_form", "opened"]


def opened(url: str, options: WebOptions, scope: ToolScope | None) -> str:
    """The one spelling of an address that may be opened.

    Raises:
        ToolException: it may not; the message says why.
    """
    spelled = check_form(url, options)
    known = scope is not None and scope.may_open(spelled)
    if known or options.egress == "any" or any(_matches(spelled, pattern) for pattern in options.allow):
        return spelled
    raise ToolException(
        f"{url[:200]!r} may not be opened: only addresses that the user gave, that a search returned, or that a page "
        "read in this run links to. Open one of these exactly as it is written there, or search."
    )


def check_form(url: str, options: WebOptions) -> str:
    """The one spelling of an address that is well formed, whoever named it.

    Raises:
        ToolException: it is no http or https address, has a user name, or a port that is not allowed.
    """
    if any(sign <= " " or sign in '\\"<>^`{|}\x7f' for sign in url.strip()):
        raise ToolException(f"{url[:200]!r} is no address: it has characters that none has.")
    spelled = normal(url)
    if spelled is None:
        raise ToolException(f"{url[:200]!r} is no http or https address.")
    parts = urlsplit(spelled)
    if "@" in parts.netloc:
        raise ToolException(f"{url[:200]!r} has a user name in it, and such addresses are not opened.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if port not in options.ports and port not in {port for _, port in options.reach}:
        raise ToolException(f"{url[:200]!r} is on port {port}, which is not allowed.")
    return spelled


def _matches(url: str, pattern: str) -> bool:
    """Whether a pattern names an address: host against host and path against path, never one against the other."""
    scheme, _, rest = pattern.rpartition("://")
    host, _, path = rest.partition("/")
    parts = urlsplit(url)
    if scheme and scheme.lower() != parts.scheme:
        return False
    here, wanted = parts.netloc, host.lower()
    if wanted.startswith("*."):
        if not here.endswith(wanted[1:]):
            return False
    elif here != wanted:
        return False
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return fnmatchcase(target, f"/{path or '*'}")
