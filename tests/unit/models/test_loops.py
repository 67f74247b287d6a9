"""Connections of providers' clients: one pool for each event loop, closed with it, and nobody else's touched."""

import asyncio
from typing import Any

import httpx2
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from rlm_agent.models import loops as model_loops
from rlm_agent.models.loops import on_this_loop
from rlm_agent.testing import ScriptedModel


def chat(**options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="m", base_url="http://127.0.0.1:9/v1", api_key="k", **options)


def http_of(model: BaseChatModel) -> Any:
    """The HTTP client that calls of this model go through."""
    client: Any = model
    assert client.async_client._client is client.root_async_client
    return client.root_async_client._client


async def test_models_of_an_address_share_a_pool_that_is_not_langchains() -> None:
    first, second = chat(), chat(temperature=0)
    here = await on_this_loop(first)
    assert http_of(here) is http_of(await on_this_loop(second))
    assert http_of(here) is not http_of(first)
    other = ChatOpenAI(model="m", base_url="http://127.0.0.1:10/v1", api_key="k")
    assert http_of(await on_this_loop(other)) is not http_of(here)


async def test_settings_come_along_and_the_callers_model_stays() -> None:
    model = chat(timeout=3, max_retries=7, default_headers={"x-a": "b"}, organization="o")
    before = model.root_async_client
    client: Any = (await on_this_loop(model)).root_async_client  # type: ignore[attr-defined]
    assert model.root_async_client is before
    assert (client.timeout, client.max_retries, client.organization, client.api_key) == (3, 7, "o", "k")
    assert client.default_headers["x-a"] == "b"


def test_each_loop_has_its_own_and_closes_it() -> None:
    model = chat()
    first, second = (http_of(asyncio.run(on_this_loop(model))) for _ in range(2))
    assert first is not second
    assert first.is_closed
    assert second.is_closed
    assert not http_of(model).is_closed
    assert not any(loop.is_closed() for loop in model_loops._pools)


async def test_made_once_however_many_ask_at_once() -> None:
    found = await asyncio.gather(*(on_this_loop(chat()) for _ in range(20)))
    assert len({id(http_of(model)) for model in found}) == 1


async def test_what_is_the_callers_own_is_used_as_it_is() -> None:
    async with httpx2.AsyncClient() as http:
        for model in (chat(http_async_client=http), chat(http_socket_options=()), ScriptedModel(["x"])):
            assert await on_this_loop(model) is model


async def test_a_proxy_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chat(openai_proxy="http://127.0.0.1:11")
    here = await on_this_loop(model)
    assert here is not model
    assert http_of(here) is not http_of(await on_this_loop(chat()))
    (mount,) = http_of(here)._mounts.values()
    assert mount._pool._proxy_url.port == 11


async def test_azure_is_known_too() -> None:
    model = AzureChatOpenAI(
        azure_endpoint="http://127.0.0.1:12", api_key="k", api_version="2025-01-01", azure_deployment="d"
    )
    here: Any = await on_this_loop(model)
    assert http_of(here) is not http_of(model)
    assert str(here.root_async_client.base_url) == str(model.root_async_client.base_url)


async def test_the_clients_own_retries_are_switched_off_in_the_copy_only() -> None:
    own = httpx2.AsyncClient()
    for model in (chat(max_retries=7), chat(max_retries=7, http_async_client=own)):
        here: Any = await on_this_loop(model, retries=False)
        assert here.root_async_client.max_retries == here.async_client._client.max_retries == 0
        assert model.root_async_client.max_retries == 7
    assert http_of(here) is own
    await own.aclose()
    scripted = ScriptedModel(replies=["x"])
    assert await on_this_loop(scripted, retries=False) is scripted
