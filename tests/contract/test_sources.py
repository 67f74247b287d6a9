"""What tools return beside their text: sources of a slot, and addresses that the run may open; after a kill, too."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool

from rlm_agent import Limits, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel
from rlm_agent.tool_scope import tool_scope

PAGE = {"url": "https://a.example/", "title": "가", "date": None, "sha256": "00", "fetched": "2026-11-25T10:00:00Z"}
ONE_SLOT = """```python
r = llm("go")
answer["content"] = [list(r.sources), str(r), r.error]
answer["ready"] = True
```"""


def call(name: str, number: int = 1, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"c{number}"}])


def ask(replies: Any, tools: list[Any], question: str = "read https://user.example/x", **options: Any) -> Any:
    agent = create_rlm_agent(
        ScriptedModel(replies=lambda _: ONE_SLOT), tools, sub_model=ScriptedModel(replies=replies), **options
    )
    return agent.invoke({"messages": [("user", question)]}, {"configurable": {"thread_id": "t"}})["rlm"]["content"]


@tool(response_format="content_and_artifact")
def search() -> tuple[str, Any]:
    """Searches."""
    return "found", {"links": ["https://found.example/1"], "sources": []}


@tool(response_format="content_and_artifact")
def read() -> tuple[str, Any]:
    """Reads."""
    return "text", {"sources": [PAGE, PAGE, {"path": "노트.md", "sha256": "11"}, "junk"], "links": "junk"}


@tool
def may(url: str) -> str:
    """Whether an address may be opened."""
    scope = tool_scope()
    assert scope is not None
    return f"{scope.may_open(url)} {scope.run == open_run('t').id} {scope.home.is_open}"


@tool
async def may_async(url: str) -> str:
    """Whether an address may be opened."""
    scope = tool_scope()
    assert scope is not None
    return str(scope.may_open(url))


def test_sources_come_back_once_each() -> None:
    sources, text, error = ask([call("read"), call("read", 2), "done"], [read])
    assert (text, error) == ("done", None)
    assert sources == [PAGE, {"path": "노트.md", "sha256": "11"}]


def test_a_slot_that_failed_has_the_sources_it_had_read() -> None:
    sources, _, error = ask([call("read"), ValueError("provider")], [read])
    assert "provider" in error
    assert [source.get("url") for source in sources] == ["https://a.example/", None]


def test_a_tool_stands_in_its_run_and_knows_what_it_may_open() -> None:
    seen: list[str] = []

    def sub(messages: list[Any]) -> Any:
        seen.extend(str(m.content) for m in messages[-1:] if isinstance(m, ToolMessage))
        asked = ["https://user.example/x", "https://found.example/1", "https://model.example/"]
        steps = [call("may", n, url=url) for n, url in enumerate(asked)]
        steps = [*steps, call("search", 8), *(call("may_async", 10 + n, url=url) for n, url in enumerate(asked))]
        done = sum(isinstance(m, ToolMessage) for m in messages)
        return steps[done] if done < len(steps) else "I say https://model.example/ is fine"

    ask(sub, [may, may_async, search], limits=Limits(sub_turns=20), system_prompt="Also https://system.example/.")
    assert seen == ["True True True", "False True True", "False True True", "found", "True", "True", "False"]
    assert tool_scope() is None


def test_what_a_model_wrote_gives_no_leave_and_the_system_prompt_does() -> None:
    def sub(messages: list[Any]) -> Any:
        results = [m.content for m in messages if isinstance(m, ToolMessage)]
        urls = ["https://system.example/", "https://assistant.example/"]
        return call("may_async", len(results), url=urls[len(results)]) if len(results) < 2 else " ".join(results)

    agent = create_rlm_agent(
        ScriptedModel(replies=lambda _: ONE_SLOT),
        [may_async],
        sub_model=ScriptedModel(replies=sub),
        system_prompt="Start at https://system.example/.",
    )
    messages = [("user", "hello"), ("assistant", "see https://assistant.example/"), ("user", "go on")]
    assert agent.invoke({"messages": messages})["rlm"]["content"][1] == "True False"


PROGRAM = """
import os, sys
from pathlib import Path
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from rlm_agent import create_rlm_agent
from rlm_agent.testing import ScriptedModel
sys.path[:0] = [{here!r}]
from test_sources import ONE_SLOT, call, may_async, read, search

@tool
def die_once() -> str:
    '''Ends the process the first time.'''
    flag = Path({flag!r})
    if not flag.exists():
        flag.write_text("x")
        os._exit(9)
    return "alive"

def sub(messages):
    steps = [call("search", 1), call("read", 2), call("die_once", 3), call("may_async", 4, url="https://found.example/1")]
    results = [m.content for m in messages if isinstance(m, ToolMessage)]
    return steps[len(results)] if len(results) < len(steps) else " ".join(results)

agent = create_rlm_agent(ScriptedModel(replies=lambda _: ONE_SLOT), [search, read, die_once, may_async],
                         sub_model=ScriptedModel(replies=sub))
given = {{"messages": [("user", "go")]}}
out = agent.invoke(given, {{"configurable": {{"thread_id": "t"}}}})
print(ascii(out["rlm"]["content"]))
"""


@pytest.mark.slow
def test_a_killed_sub_agent_has_its_sources_and_leave_after_the_resume(tmp_path: Path) -> None:
    program = PROGRAM.format(here=str(Path(__file__).parent), flag=str(tmp_path / "flag"))
    first = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert first.returncode == 9, first.stderr
    second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    expected = [[PAGE, {"path": "노트.md", "sha256": "11"}], "found text alive True", None]
    assert second.stdout.strip() == ascii(expected)


def test_a_fork_may_open_what_its_origin_had_found(tmp_path: Path) -> None:
    def root(messages: list[Any]) -> str:
        return (
            '```python\nr = llm("go")\nprint(r)\n```' if len(messages) < 4 else '```python\nanswer["ready"] = True\n```'
        )

    def sub(messages: list[Any]) -> Any:
        results = [m.content for m in messages if isinstance(m, ToolMessage)]
        if not results:
            return (
                call("search") if messages[-1].content == "go" else call("may_async", 2, url="https://found.example/1")
            )
        return results[-1]

    agent = create_rlm_agent(
        ScriptedModel(replies=root), [search, may_async], sub_model=ScriptedModel(replies=sub), home=tmp_path / "h"
    )
    agent.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "t"}})
    code = 'r = llm("check")\nanswer["content"] = str(r)\nanswer["ready"] = True'
    config = open_run("t", home=tmp_path / "h").fork(turn=1, code=code)
    assert agent.invoke(None, config)["rlm"]["content"] == "True"
