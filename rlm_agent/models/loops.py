"""The connections of a provider's async client: a pool for each event loop.

Owns: which pool a call goes through. A connection works on the loop that opened it only: on another one the request is
sent, and paid for, and its answer cannot be read; and provider packages share one pool among all models of an address.
Invariant: no connection of ours is used on two loops; the caller's model is never changed. A model with an HTTP client
of the caller's own, or with a client of an unknown kind, is used as it is. Pools close when `asyncio.run` ends.
"""

import asyncio
import functools
import ssl
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel

__all__ = ["on_this_loop"]

_ASYNC_CLIENTS = ("root_async_client", "_async_client")
_PROXIES = ("openai_proxy", "anthropic_proxy")
_CALLERS_OWN = ("http_async_client", "http_socket_options")


@dataclass(frozen=True, slots=True)
class _Pool:
    """An HTTP client, and the generator that closes it when the loop shuts its generators down."""

    http: Any
    lifetime: AsyncGenerator[None, None]


_lock = threading.Lock()
_pools: dict[asyncio.AbstractEventLoop, dict[Any, _Pool]] = {}


async def on_this_loop(model: BaseChatModel, *, retries: bool = True) -> BaseChatModel:
    """A copy of the model whose connections are the running loop's; the model itself where none can be made.

    Args:
        retries: False switches the client's own retries off, of a client that stays the caller's too.
    """
    name = next((name for name in _ASYNC_CLIENTS if getattr(model, name, None) is not None), "")
    client: Any = getattr(model, name, None)
    make = _http_maker(client)
    proxy = next((found for field in _PROXIES if (found := getattr(model, field, None))), None)
    if make is None or (proxy is None and any(getattr(model, field, None) is not None for field in _CALLERS_OWN)):
        return model if make is None or retries else _with_client(model, name, client.copy(max_retries=0))
    changes = {} if retries else {"max_retries": 0}
    http = await _http_client(make, str(client.base_url), proxy)
    return _with_client(model, name, client.copy(http_client=http, **changes))


def _with_client(model: BaseChatModel, name: str, client: Any) -> BaseChatModel:
    copied = model.model_copy()
    copied.__dict__[name] = client
    if name == "root_async_client":
        copied.__dict__["async_client"] = client.chat.completions
    return copied


def _http_maker(client: Any) -> Callable[..., Any] | None:
    """What makes an HTTP client for this client: `openai` and `anthropic` publish it under the same name."""
    package = sys.modules.get(type(client).__module__.partition(".")[0])
    make = getattr(package, "DefaultAsyncHttpxClient", None)
    return make if callable(make) and callable(getattr(client, "copy", None)) else None


async def _http_client(make: Callable[..., Any], address: str, proxy: str | None) -> Any:
    """The running loop's HTTP client for an address, made at its first use."""
    pools, key = _pools_of(asyncio.get_running_loop()), (make, address, proxy)
    if key not in pools:
        tls = await asyncio.to_thread(_tls)
        if key not in pools:
            http = make(verify=tls, **({"proxy": proxy} if proxy else {}))
            pools[key] = _Pool(http, _lifetime(asyncio.get_running_loop(), http))
            await anext(pools[key].lifetime)
    return pools[key].http


def _pools_of(loop: asyncio.AbstractEventLoop) -> dict[Any, _Pool]:
    with _lock:
        if loop not in _pools:
            for closed in [known for known in _pools if known.is_closed()]:
                del _pools[closed]
            _pools[loop] = {}
        return _pools[loop]


async def _lifetime(loop: asyncio.AbstractEventLoop, http: Any) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        with _lock:
            _pools.pop(loop, None)
        await http.aclose()


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for the process: reading the certificates takes 80 ms."""
    import httpx2

    return httpx2.create_ssl_context()
