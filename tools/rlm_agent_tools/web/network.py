"""The guard where connections are made: a name is looked up here, and what was checked is connected to.

Invariant: unless every address of a host is public, none of them is connected to; no other way out exists (no unix
sockets, no proxy, no second look-up between check and connection).
"""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

import httpcore2
from langchain_core.tools import ToolException

from rlm_agent_tools.web.options import WebOptions
from rlm_agent_tools.web.public import is_public

__all__ = ["Guard", "Refused", "look_up"]

_TRIES = 3


class Refused(ToolException):
    """A connection was not made because of where it would lead."""


class Guard(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses only.

    Args:
        options: which ports, which exceptions, whose look-up.
    """

    def __init__(self, options: WebOptions) -> None:
        self._options = options
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connects to the first address of a host that answers.

        Raises:
            Refused: one of its addresses is not public, or the port is not allowed.
        """
        addresses = await self._checked(host, port)
        for address in addresses[:_TRIES]:
            try:
                return await self._network.connect_tcp(address, port, timeout, None, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore2's
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Never."""
        raise Refused("Unix sockets are not opened.")

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    async def _checked(self, host: str, port: int) -> list[str]:
        resolve = self._options.resolve or look_up
        addresses = list(dict.fromkeys(await resolve(host, port)))
        if not addresses:
            raise Refused(f"The host {host!r} has no address.")
        for address in addresses:
            if (address, port) in self._options.reach:
                continue
            if port not in self._options.ports or not is_public(address):
                raise Refused(f"The host {host!r} leads into a private network, and such addresses are not opened.")
        return addresses


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them.

    Raises:
        Refused: there are none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"The host {host!r} has no address.") from error
    return [str(entry[4][0]) for entry in found]
