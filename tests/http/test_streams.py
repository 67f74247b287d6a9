"""What a host sees of models that stream over HTTP, and that usage is the server's."""

from typing import Any

import pytest
from provider import Provider

from rlm_agent import Home, create_rlm_agent

ASK = 'r = llm_batch(["a b c", "d"])'
SHOW = 'answer["content"] = [str(s) for s in r]\nanswer["ready"] = True'


@pytest.mark.parametrize("entry", ["stream", "astream"])
async def test_root_tokens_arrive_one_by_one_and_sub_agents_are_silent(
    service: Provider, home: Home, thread: Any, entry: str
) -> None:
    service.cells = (ASK, SHOW)
    agent, given = service.agent(home), {"messages": [("user", "q")]}
    if entry == "stream":
        parts = list(agent.stream(given, thread, stream_mode="messages"))
    else:
        parts = [part async for part in agent.astream(given, thread, stream_mode="messages")]
    tokens = [(message.content, meta.get("rlm_role")) for message, meta in parts if message.content]
    root = [text for text, role in tokens if role == "root"]
    assert len(root) > 8
    assert "".join(root) == "".join(f"```python\n{cell}\n```" for cell in service.cells)
    assert not any(role == "sub" for _, role in tokens)
    assert all(body["stream"] for body in service.requests("root"))


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_usage_is_the_servers_to_the_token(service: Provider, home: Home, thread: Any, streaming: bool) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 30}}
    service.server.usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107, **details}
    service.cells = (ASK, SHOW)
    out = service.agent(home, client={"streaming": streaming}).invoke({"messages": [("user", "q")]}, thread)
    usage = out["rlm"]["usage"]
    for part, calls in (("root", 2), ("sub", 2), ("total", 4)):
        assert usage[part] == {
            "calls": calls,
            "input_tokens": 100 * calls,
            "output_tokens": 7 * calls,
            "cached_tokens": 30 * calls,
            "usd": None,
        }
    assert set(usage["by_model"]) == {"root", "sub"}


def test_a_name_and_the_environment_are_enough(
    service: Provider, home: Home, thread: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", service.server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    service.cells = (ASK, SHOW)
    agent = create_rlm_agent("openai:root", sub_model="openai:sub", home=home, checkpointer=home.checkpointer)
    out = agent.invoke({"messages": [("user", "q")], "context": "zyx" * 3}, thread)
    assert out["rlm"]["content"] == ["A B C", "D"]
    assert service.server.authorizations == ["Bearer x"] * 4
    assert "zyxzyx" not in str(service.requests("root")), "the root never reads the input"
