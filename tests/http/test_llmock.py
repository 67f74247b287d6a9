"""Against a provider that is not ours: `llmock` serves, refuses and breaks off, and judges how the client behaved."""

from collections.abc import Iterator
from typing import Any

import pytest
from faults import only_line
from langchain_openai import ChatOpenAI

from rlm_agent import Home, Limits, ModelError, create_rlm_agent

ASK = '```python\nr = llm_batch(["What is one and one?", "안녕?"])\n```'
SHOW = '```python\nanswer["content"] = [[s.ok, bool(s), s.error] for s in r]\nanswer["ready"] = True\n```'
DONE = '```python\nanswer["content"] = "done"\nanswer["ready"] = True\n```'
ASKED = {"messages": [("user", "q")]}


@pytest.fixture
def mock(llmock: Any) -> Iterator[Any]:
    """llmock's own fixture: a server, and the environment that names it. Tools are called only where a test says so."""
    llmock.tool_mode("off")
    yield llmock
    llmock.reset()


def agent(home: Home, tools: Any = (), **options: Any) -> Any:
    """Root and sub-agents of two names, so that replies can be meant for one of them. Trying again is the client's."""
    models = [ChatOpenAI(model=name, **{"max_retries": 0, "timeout": 5, **options}) for name in ("root", "sub")]
    given = {"sub_model": models[1], "home": home, "checkpointer": home.checkpointer, "limits": Limits(sub_tries=1)}
    return create_rlm_agent(models[0], tools, **given)


def root_writes(mock: Any, *cells: str) -> None:
    from llmock.scenarios import Match, Reply

    mock.add(*(Reply(text=cell, match=Match(model="root")) for cell in cells))


def refused(mock: Any, status: int, model: str, **more: Any) -> None:
    from llmock.scenarios import Fail, Match

    mock.add(Fail(status, match=Match(model=model), **more))


def asked(mock: Any) -> list[str | None]:
    return [request.model for request in mock.requests]


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_chat(mock: Any, home: Home, thread: Any, streaming: bool) -> None:
    root_writes(mock, ASK, SHOW)
    out = agent(home, streaming=streaming).invoke(ASKED, thread)
    assert out["rlm"]["content"] == [[True, True, None]] * 2
    assert sorted(asked(mock)) == ["root", "root", "sub", "sub"]
    assert {request.stream for request in mock.requests} == {streaming}
    assert "안녕?" in [request.body["messages"][-1]["content"] for request in mock.requests]
    mock.assert_resilient(strict=True)


def test_a_name_is_enough(mock: Any, home: Home) -> None:
    mock.reply(DONE)
    assert create_rlm_agent("openai:gpt-4.1-mini", home=home).invoke(ASKED)["rlm"]["content"] == "done"
    assert asked(mock) == ["gpt-4.1-mini"]


def test_retry_after_is_obeyed(mock: Any, home: Home, thread: Any) -> None:
    root_writes(mock, ASK, SHOW)
    refused(mock, 429, "root", retry_after=0.2)
    refused(mock, 429, "sub", retry_after=0.2, times=2)
    out = agent(home, max_retries=2).invoke(ASKED, thread)
    assert out["rlm"]["content"] == [[True, True, None]] * 2
    assert [request.status for request in mock.requests].count(429) == 3
    assert len(mock.requests) == 4 + 3
    mock.assert_resilient()


def test_a_quota_of_requests_a_minute(mock: Any, home: Home, thread: Any) -> None:
    """The bucket holds three: the fourth request is told how long to wait."""
    root_writes(mock, ASK)
    mock.limits(rpm=3)
    client = agent(home)
    with pytest.raises(ModelError, match="answered 429: the rate limit") as caught:
        client.invoke(ASKED, thread)
    assert "try again in" in only_line(str(caught.value))
    mock.limits(rpm=60)
    root_writes(mock, SHOW)
    assert client.invoke(None, thread)["rlm"]["content"] == [[True, True, None]] * 2
    assert asked(mock).count("sub") == 2


def test_an_outage_and_its_end(mock: Any, home: Home, thread: Any) -> None:
    root_writes(mock, ASK)
    refused(mock, 503, "sub", times=None)
    refused(mock, 503, "root", times=None)
    client = agent(home)
    for given in (ASKED, None):
        with pytest.raises(ModelError, match="answered 503: the server failed"):
            client.invoke(given, thread)
    mock.reset().tool_mode("off")
    root_writes(mock, DONE)
    assert client.invoke(None, thread)["rlm"]["content"] == "done"
    assert asked(mock) == ["root"]


@pytest.mark.parametrize(
    ("fault", "options", "says"),
    [
        ("disconnect", {}, "the connection broke"),
        ("truncate", {}, "the stream ended before the reply did"),
        ("corrupt", {}, "sent no chat completion"),
        ("stall", {"seconds": 4}, "no answer in time"),
    ],
)
def test_a_stream_that_breaks(mock: Any, home: Home, thread: Any, fault: str, options: Any, says: str) -> None:
    root_writes(mock, ASK)
    client = agent(home, streaming=True, timeout=1.5)
    getattr(mock, fault)(after_chunks=3, **options)
    with pytest.raises(ModelError) as caught:
        client.invoke(ASKED, thread)
    assert says in only_line(str(caught.value))
    mock.reset().tool_mode("off")
    root_writes(mock, ASK, SHOW)
    assert client.invoke(None, thread)["rlm"]["content"] == [[True, True, None]] * 2
    assert sorted(asked(mock)) == ["root", "root", "sub", "sub"]


def test_the_prompt_does_not_fit(mock: Any, home: Home, thread: Any) -> None:
    mock.limits(context_window=50)
    with pytest.raises(ModelError, match="answered 400: the prompt is too large for this model") as caught:
        agent(home).invoke(ASKED, thread)
    assert "50 tokens" in only_line(str(caught.value))


@pytest.mark.parametrize("kind", ["malformed_arguments", "unknown_tool", None])
def test_tools_of_sub_agents(mock: Any, home: Home, thread: Any, kind: str | None) -> None:
    seen: list[str] = []

    def get_weather(city: str) -> str:
        """The weather in a city."""
        seen.append(city)
        return f"21C in {city}"

    mock.tool_mode("auto")
    root_writes(mock, ASK.replace(', "안녕?"', ""), SHOW)
    if kind:
        mock.break_tool_call(kind)
    out = agent(home, [get_weather]).invoke(ASKED, thread)
    ((ok, text, error),) = out["rlm"]["content"]
    if kind == "malformed_arguments":
        assert (ok, text, only_line(error)) == (False, False, "the model called a tool with arguments that are no JSON")
    else:
        assert (ok, text, error) == (True, True, None)
    assert len(seen) == (0 if kind else 1)
