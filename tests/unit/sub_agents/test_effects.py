"""Marks of tools and functions: what counts as one, and what is refused."""

from typing import Any

import pytest
from langchain_core.tools import StructuredTool, tool

from rlm_agent import ConfigError, create_rlm_agent
from rlm_agent.host_functions.calling import as_function
from rlm_agent.sub_agents.effects import acts_once
from rlm_agent.testing import ScriptedModel


def send(what: str, times: int = 1) -> str:
    """Sends something."""
    return what * times


def marked(effect: Any) -> StructuredTool:
    return StructuredTool.from_function(send, metadata={"rlm": {"effect": effect}})


def test_marks() -> None:
    assert acts_once(marked("once"))
    assert not acts_once(StructuredTool.from_function(send))
    assert not acts_once(StructuredTool.from_function(send, metadata={"team": "x"}))
    assert not acts_once(send)


@pytest.mark.parametrize("place", ["tools", "repl_functions"])
def test_an_effect_that_there_is_not_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match=r"'send'.*'onse'.*'once'"):
        create_rlm_agent(ScriptedModel(), **{place: [marked("onse")]})


def test_a_tool_as_a_host_function() -> None:
    function: Any = as_function(marked("once"))
    assert (function.__name__, function("ab", times=2), function(what="c")) == ("send", "abab", "c")
    assert acts_once(function)
    with pytest.raises(TypeError):
        function()


async def test_an_async_tool_as_a_host_function(tmp_path: Any) -> None:
    @tool
    async def look(where: str) -> list[str]:
        """Looks somewhere."""
        return [where]

    code = '```python\nanswer["content"] = [look("here"), look.__name__]\nanswer["ready"] = True\n```'
    agent = create_rlm_agent(ScriptedModel(replies=[code]), repl_functions=[look], home=tmp_path / "home")
    out = await agent.ainvoke({"messages": [("user", "q")]})
    assert out["rlm"]["content"][0] == ["here"]
