"""One agent under several event loops: a connection opened on one of them is never used on another.

Providers' clients keep connections open, and a request sent on a connection of another loop is answered, and paid for,
but cannot be read.
"""

import asyncio
from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware
from provider import Provider

from rlm_agent import Home

ASK = 'r = llm_batch(["a", "b", "c"])'
SHOW = 'answer["content"] = [str(s) for s in r]\nanswer["ready"] = True'


def look(place: str) -> str:
    """Looks at a place."""
    return place


class Nothing(AgentMiddleware[Any, Any]):
    """A middleware that lets all pass."""


@pytest.mark.parametrize("tools", [[], [look]], ids=["plain", "with tools"])
def test_entries_may_alternate(service: Provider, home: Home, tools: list[Any]) -> None:
    service.cells = (ASK, SHOW)
    agent = service.agent(home, tools, sub_middleware=[Nothing()])
    given = {"messages": [("user", "q")]}
    for n, entry in enumerate("aasas", 1):
        config = {"configurable": {"thread_id": str(n)}}
        out = agent.invoke(given, config) if entry == "s" else asyncio.run(agent.ainvoke(given, config))
        assert out["rlm"]["content"] == ["A", "B", "C"]
        assert service.asked() == (2 * n, 3 * n)


def test_the_host_uses_a_model_of_the_same_address_on_its_own_loop(service: Provider, home: Home, thread: Any) -> None:
    """langchain-openai gives all models of an address one pool of connections."""
    service.cells = (ASK, SHOW)
    asyncio.run(service.chat("sub").ainvoke("hello"))
    out = service.agent(home).invoke({"messages": [("user", "q")]}, thread)
    assert out["rlm"]["content"] == ["A", "B", "C"]
    assert service.asked() == (2, 4)


async def test_the_callers_model_is_left_as_it_is(service: Provider, home: Home, thread: Any) -> None:
    service.cells = (ASK, SHOW)
    root, sub = service.chat("root"), service.chat("sub", timeout=1.5)
    clients = [root.root_async_client, sub.root_async_client, sub.async_client]
    agent = service.agent(home, sub_model=sub)
    assert (await agent.ainvoke({"messages": [("user", "q")]}, thread))["rlm"]["content"] == ["A", "B", "C"]
    assert [root.root_async_client, sub.root_async_client, sub.async_client] == clients
