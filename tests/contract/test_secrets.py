"""Secrets of an application that embeds an agent: what is written of them, looked for in every file that there is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from rlm_agent import Home, create_rlm_agent
from rlm_agent.testing import ScriptedModel

SECRET = "tok-5f1e9c77aa02"
CELL = """```python
answer["content"] = str(llm("Who is Kim?"))
answer["ready"] = True
```"""


@dataclass
class Access:
    token: str


class State(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]


seen: list[str] = []


@tool
def look_up(name: str, runtime: ToolRuntime[Access]) -> str:
    """Looks a customer up."""
    seen.append(runtime.context.token)
    return f"{name} was found"


def calls_look_up(messages: list[Any]) -> Any:
    if isinstance(messages[-1], ToolMessage):
        return AIMessage(messages[-1].content)
    return AIMessage("", tool_calls=[{"name": "look_up", "args": {"name": "Kim"}, "id": "1"}])


def parent(home: Home, saver: Any) -> Any:
    agent = create_rlm_agent(
        ScriptedModel([CELL]), [look_up], sub_model=ScriptedModel(calls_look_up), context_schema=Access, home=home
    )
    graph = StateGraph(State, context_schema=Access)
    graph.add_node("research", agent)
    graph.add_edge(START, "research")
    graph.add_edge("research", END)
    return graph.compile(checkpointer=saver)


def run(path: Path, configurable: dict[str, Any]) -> None:
    seen.clear()
    with Home(path / "own") as home, SqliteSaver.from_conn_string(str(path / "host.db")) as saver:
        config: Any = {"configurable": {"thread_id": "t", **configurable}}
        out = parent(home, saver).invoke({"messages": [("user", "q")]}, config, context=Access(SECRET))
    assert out["messages"][-1].text == "Kim was found"
    assert seen == [SECRET]


def holders(path: Path, text: str) -> set[str]:
    """The files that hold a text, as bytes, by the first part of their path."""
    files = [file for file in path.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]
    return {file.relative_to(path).parts[0] for file in files}


def test_what_the_runtime_context_holds_is_written_nowhere(tmp_path: Path) -> None:
    run(tmp_path, {})
    assert holders(tmp_path, "Who is Kim?") == {"own"}, "files are looked through as they are"
    assert holders(tmp_path, SECRET) == set()


def test_what_configurable_holds_is_warned_of_and_never_in_the_home(tmp_path: Path) -> None:
    """LangGraph writes it into the host's own checkpoints, which a node cannot prevent."""
    with pytest.warns(UserWarning, match="crm_api_key") as warned:
        run(tmp_path, {"crm_api_key": SECRET})
    assert not any(SECRET in str(warning.message) for warning in warned)
    assert holders(tmp_path, SECRET) == {"host.db"}
