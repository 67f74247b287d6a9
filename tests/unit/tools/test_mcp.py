"""The plugin `mcp` against a real server: over stdio and HTTP, under sync and async entry, on several event loops."""

import asyncio
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from rlm_agent import ConfigError, Home, ToolError, create_rlm_agent
from rlm_agent.plugins import Plugin
from rlm_agent.testing import ScriptedModel

pytestmark = [pytest.mark.mcp, pytest.mark.slow]

SERVER = Path(__file__).parents[2] / "support" / "mcp_server.py"
COMMAND = shlex.join([sys.executable, str(SERVER)])
ROOT = '```python\nanswer["content"] = [str(r) for r in llm_batch(["하나", "둘"])]\nanswer["ready"] = True\n```'


def plugin() -> Plugin:
    return Plugin("mcp", "langgraph-rlm", "0", EntryPoint("mcp", "rlm_agent_tools.mcp:tools", "rlm_agent.tools"))


def made(**settings: str) -> dict[str, Any]:
    return {tool.name: tool for tool in plugin().tools(settings)}


def agent_of(tools: Sequence[Any], name: str, args: dict[str, Any], **options: Any) -> tuple[Any, list[ToolMessage]]:
    """An agent whose two sub-agents each call one tool, and what they read."""
    seen: list[ToolMessage] = []

    def sub(messages: list[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            seen.append(messages[-1])
            return AIMessage(str(messages[-1].text))
        return AIMessage("", tool_calls=[{"name": name, "args": args, "id": "1", "type": "tool_call"}])

    root = ScriptedModel(replies=lambda _: ROOT)
    return create_rlm_agent(root, tools, sub_model=ScriptedModel(replies=sub), **options), seen


QUESTION: Any = {"messages": [("user", "q")]}


@pytest.fixture(scope="module")
def stdio() -> dict[str, Any]:
    return made(command=COMMAND)


def test_the_tools_of_a_server_are_found(stdio: dict[str, Any]) -> None:
    assert sorted(stdio) == ["add", "dies", "fails", "told"]
    assert stdio["add"].description == "Adds two numbers."
    assert list(made(command=COMMAND, prefix="수", only="수_add")) == ["수_add"]


def test_sync_async_and_several_loops_reach_the_server(stdio: dict[str, Any]) -> None:
    """Each entry has another event loop: the library's own, then two that are closed again."""
    agent, seen = agent_of(list(stdio.values()), "add", {"a": 40, "b": 2})
    assert agent.invoke(QUESTION)["rlm"]["content"] == ["42", "42"]
    for _ in range(2):
        assert asyncio.run(agent.ainvoke(QUESTION))["rlm"]["content"] == ["42", "42"]
    assert [message.status for message in seen] == ["success"] * 6


async def test_an_agent_is_made_inside_a_running_loop() -> None:
    agent, _ = agent_of(list(made(command=COMMAND, only="add").values()), "add", {"a": 1, "b": 2})
    assert (await agent.ainvoke(QUESTION))["rlm"]["content"] == ["3", "3"]


def test_the_adapters_own_tools_work_as_they_are() -> None:
    from langchain_mcp_adapters.client import MultiServerMCPClient

    connection: Any = {"transport": "stdio", "command": sys.executable, "args": [str(SERVER)]}
    tools = asyncio.run(MultiServerMCPClient({"s": connection}).get_tools())
    agent, _ = agent_of(tools, "add", {"a": 1, "b": 2})
    assert agent.invoke(QUESTION)["rlm"]["content"] == ["3", "3"]


@pytest.mark.parametrize(("name", "args", "said"), [("fails", {"why": "이유"}, "이유"), ("dies", {"code": 3}, "Error")])
def test_a_failure_is_a_value(stdio: dict[str, Any], name: str, args: dict[str, Any], said: str) -> None:
    agent, seen = agent_of([stdio[name]], name, args)
    out = agent.invoke(QUESTION)
    assert out["rlm"]["ready"] is True
    assert [(message.status, said in message.text) for message in seen] == [("error", True)] * 2


def test_a_program_sees_only_the_variables_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "값")
    agent, _ = agent_of(list(made(command=COMMAND).values()), "told", {"name": "MY_SECRET"})
    assert [text.split()[0] for text in agent.invoke(QUESTION)["rlm"]["content"]] == ["없음", "없음"]
    named, _ = agent_of(list(made(command=COMMAND, env="MY_SECRET").values()), "told", {"name": "MY_SECRET"})
    texts = named.invoke(QUESTION)["rlm"]["content"]
    assert [text.split()[0] for text in texts] == ["값", "값"]
    for text in texts:
        assert not Path("/proc", text.split()[1]).exists()


def test_a_resume_answers_the_calls_from_the_record(stdio: dict[str, Any], tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:
        agent, seen = agent_of([stdio["told"]], "told", {"name": "x"}, home=home, checkpointer=home.checkpointer)
        config: Any = {"configurable": {"thread_id": "t"}}
        first = agent.invoke(QUESTION, config)["rlm"]["content"]
        assert agent.invoke(None, config)["rlm"]["content"] == first
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "command or url"),
        ({"command": "a", "url": "http://x"}, "command or url"),
        ({"command": "no-such-program-here"}, "no program 'no-such-program-here'"),
        ({"url": "ftp://x"}, "http://"),
        ({"colour": "red"}, "no setting is named 'colour'"),
        ({"command": COMMAND, "only": "sub"}, "it has add"),
        ({"command": COMMAND, "seconds": "soon"}, "whole number"),
        ({"command": "'"}, "quotation"),
        ({"command": f"{sys.executable} -c pass"}, "cannot be spoken to"),
        ({"command": "sleep 60", "seconds": "1"}, "within 1 s"),
        ({"url": "http://127.0.0.1:9/mcp"}, "cannot be spoken to"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ToolError) as caught:
        plugin().tools(settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def address() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(SERVER), str(port)], stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/mcp"
    process.terminate()
    process.wait()


def test_a_server_over_http(address: str) -> None:
    agent, _ = agent_of(list(made(url=address).values()), "add", {"a": 40, "b": 2})
    assert agent.invoke(QUESTION)["rlm"]["content"] == ["42", "42"]
    assert asyncio.run(agent.ainvoke(QUESTION))["rlm"]["content"] == ["42", "42"]


def test_it_is_installed_as_a_plugin() -> None:
    """By its name, where the package is installed; two tools of one name are told apart by a prefix."""
    agent = create_rlm_agent("offline", [f"mcp:command={COMMAND}", f"mcp:command={COMMAND},prefix=b"])
    assert {"add", "b_add"} <= set(agent.spec.tools)
    with pytest.raises(ConfigError, match="two tools are named 'add'"):
        create_rlm_agent("offline", [f"mcp:command={COMMAND}", f"mcp:command={COMMAND}"])
