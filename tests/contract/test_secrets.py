"""Secrets of a host app: where they may be given, and in which bytes on the disk they are afterwards."""

from pathlib import Path
from typing import Any

import pytest
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from rlm_agent import Home, create_rlm_agent
from rlm_agent.testing import ScriptedModel

SECRET = "sk-비밀-4f1d9ab7"


def kept(folder: Path) -> bytes:
    """All bytes of all files below a folder, names included, as they are and unescaped from JSON."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    raw = b"\n".join([str(file).encode() + b"\n" + file.read_bytes() for file in files])
    return raw + raw.replace(b"\\u", b"").lower()


def in_a_host(folder: Path, **config: Any) -> Any:
    """Runs an agent with a sub-agent and a tool as a node of a host with a SQLite saver, all of it below a folder."""

    @tool
    def look(what: str, runtime: ToolRuntime[Any]) -> str:
        """Looks."""
        return f"seen {what}"

    def sub(messages: list[Any]) -> AIMessage:
        call = {"name": "look", "args": {"what": "글"}, "id": "1"}
        return AIMessage("done") if messages[-1].type == "tool" else AIMessage("", tool_calls=[call])

    cell = "```python\nanswer['content'] = [str(llm('a')), str(rlm('b'))]\nanswer['ready'] = True\n```"
    with Home(folder / "home") as home, SqliteSaver.from_conn_string(str(folder / "host.db")) as saver:
        models = {"sub_model": ScriptedModel(replies=sub), "max_depth": 2, "context_schema": dict}
        agent = create_rlm_agent(ScriptedModel(replies=lambda _: cell), [look], home=home, **models)
        graph = StateGraph(MessagesState, context_schema=dict)
        graph.add_node("work", agent)
        graph.add_edge(START, "work")
        asked: Any = {"messages": [("user", "q")]}
        return graph.compile(checkpointer=saver).invoke(asked, **config)


def test_a_secret_of_a_host_is_in_no_file_and_in_configurable_it_is_warned_of(tmp_path: Path) -> None:
    """Runtime context is not kept by anyone; `configurable` is kept by the host's saver, by us nowhere."""
    thread: Any = {"configurable": {"thread_id": "t"}}
    (tmp_path / "context").mkdir()
    out = in_a_host(tmp_path / "context", config=thread, context={"service_api_key": SECRET})
    assert out["messages"][-1].text
    assert b"host.db" in kept(tmp_path / "context")
    assert b"4f1d9ab7" not in kept(tmp_path / "context")
    (tmp_path / "named").mkdir()
    given: Any = {"configurable": {**thread["configurable"], "service_api_key": SECRET}}
    with pytest.warns(UserWarning, match="'service_api_key' in config.*rotate the key"):
        in_a_host(tmp_path / "named", config=given)
    assert b"4f1d9ab7" in (tmp_path / "named" / "host.db").read_bytes(), "what the warning says is so"
    assert b"4f1d9ab7" not in kept(tmp_path / "named" / "home")
