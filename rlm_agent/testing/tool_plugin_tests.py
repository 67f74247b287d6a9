"""What a tool plugin must keep, as a class that its author subclasses: LangChain's standard suites and ours.

Owns: the checks, and what the author declares. Needs the extra `test` (langchain-tests, pytest-asyncio) and pytest's
`asyncio_mode = "auto"`. Left to others: what the tools do; that is for tests of their own.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from rlm_agent.errors import RLMError, ToolError
from rlm_agent.plugins import Plugin, installed, named, read_reference
from rlm_agent.testing.scripted_model import ScriptedModel

__all__ = ["ToolPluginTests"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ROOT = '```python\nanswer["content"] = str(llm("use the tool"))\nanswer["ready"] = True\n```'


class ToolPluginTests(ToolsUnitTests, ToolsIntegrationTests):
    """Checks an installed plugin as `create_rlm_agent` loads it; subclass it and say what is to be called.

    Attributes:
        plugin: the plugin with settings that work, as `tools=` takes it: "sqlite:path=/data/x.db". A fixture
            may set it on `self`.
        calls: for each tool by name the arguments of a call that succeeds; all tools, and no others.
        failing_calls: for tools by name the arguments of a call that fails.
        wrong_settings: settings, each of which the plugin must refuse.

    Example:
        >>> class TestWeather(ToolPluginTests):
        ...     plugin = "weather:units=metric"
        ...     calls = {"forecast": {"place": "Oslo"}}
        ...     failing_calls = {"forecast": {"place": ""}}
        ...     wrong_settings = ({"units": "furlongs"},)
    """

    plugin: str = ""
    calls: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    failing_calls: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    wrong_settings: ClassVar[Sequence[Mapping[str, str]]] = ()

    _tool: BaseTool | None = None

    # How the standard suites get at each tool

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each tool, each failing call and each wrong setting."""
        for name, values in (
            ("tool_name", list(self.calls)),
            ("failing", list(self.failing_calls)),
            ("wrong", list(self.wrong_settings)),
        ):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values, ids=str)

    @property
    def tool_constructor(self) -> BaseTool:
        """The tool that is being tested; the first one where a test is not about one."""
        return self._tool or self._made()[0]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        """Arguments of a call of it that succeeds."""
        return dict(self.calls[self.tool_constructor.name])

    @pytest.fixture
    def tool(self, tool_name: str) -> BaseTool:
        """Each tool that `calls` names."""
        self._tool = next((tool for tool in self._made() if tool.name == tool_name), None)
        assert self._tool is not None, f"the plugin gives no tool named {tool_name!r}"
        return self._tool

    def test_no_overrides_DO_NOT_OVERRIDE(self) -> None:
        """No test of the two standard suites is left out or replaced; theirs reads one suite only."""
        own = type(self)
        for suite in (ToolsUnitTests, ToolsIntegrationTests):
            tests = [name for name in dir(suite) if name.startswith("test_") and "OVERRIDE" not in name]
            assert [name for name in tests if getattr(own, name, None) is not getattr(suite, name)] == []

    # What is ours

    def test_the_tools_are_those_that_are_called(self) -> None:
        """The plugin is installed, loads, and gives the tools that `calls` names."""
        assert sorted(tool.name for tool in self._made()) == sorted(self.calls)

    def test_names_do_not_clash(self) -> None:
        """Names that every provider takes, each once, and none that another installed plugin gives."""
        names = [tool.name for tool in self._made()]
        assert [name for name in names if not _NAME.fullmatch(name)] == []
        own = self._plugin()
        others = {name: other.origin for other in installed() if other.entry != own.entry for name in _names(other)}
        assert {name: others[name] for name in names if name in others} == {}

    def test_it_is_described(self, tool: BaseTool) -> None:
        """A model is told what the tool does and, as JSON, what it takes."""
        given: Any = tool.tool_call_schema
        schema = given if isinstance(given, dict) else given.model_json_schema()
        assert len(tool.description.strip()) >= 10
        assert set(self.calls[tool.name]) <= set(json.loads(json.dumps(schema)).get("properties", {}))

    async def test_the_result_is_plain_and_its_sources_are_whole(self, tool: BaseTool) -> None:
        """The result can be recorded as JSON; a source has url or path, and the sha256 of what was read."""
        call = {"name": tool.name, "args": dict(self.calls[tool.name]), "id": "1", "type": "tool_call"}
        message = await tool.ainvoke(call)
        assert isinstance(message, ToolMessage)
        assert json.loads(json.dumps([message.content, message.artifact])) == [message.content, message.artifact]
        artifact = message.artifact if isinstance(message.artifact, dict) else {}
        for source in artifact.get("sources", ()):
            assert isinstance(source.get("url") or source.get("path"), str), source
            assert _SHA256.fullmatch(str(source.get("sha256"))), source

    def test_a_sub_agent_uses_it(self, tool_name: str, tmp_path: Path) -> None:
        """In a run under `invoke`."""
        agent, seen = _agent(self.plugin, tool_name, self.calls[tool_name], tmp_path)
        agent.invoke({"messages": [("user", "q")]})
        assert [message.status for message in seen] == ["success"], seen

    async def test_a_sub_agent_uses_it_under_ainvoke(self, tool_name: str, tmp_path: Path) -> None:
        """In a run on the caller's event loop."""
        agent, seen = _agent(self.plugin, tool_name, self.calls[tool_name], tmp_path)
        await agent.ainvoke({"messages": [("user", "q")]})
        assert [message.status for message in seen] == ["success"], seen

    def test_a_failure_is_a_value(self, failing: str, tmp_path: Path) -> None:
        """The sub-agent reads what went wrong, in words and without a traceback, and goes on."""
        agent, seen = _agent(self.plugin, failing, self.failing_calls[failing], tmp_path)
        out = agent.invoke({"messages": [("user", "q")]})
        assert [message.status for message in seen] == ["error"], seen
        assert out["rlm"]["content"] == "done"
        assert seen[0].text.strip()
        assert "Traceback" not in seen[0].text

    def test_wrong_settings_are_refused_in_words(self, wrong: Mapping[str, str]) -> None:
        """When the plugin is named, with a sentence that says what to do."""
        with pytest.raises(ToolError) as caught:
            self._plugin().tools(wrong)
        assert isinstance(caught.value.__cause__, ValueError | RLMError), caught.value
        assert len(str(caught.value.__cause__).split()) >= 3, "say what to do"

    def _plugin(self) -> Plugin:
        return named(read_reference(self.plugin)[0])

    def _made(self) -> tuple[BaseTool, ...]:
        return self._plugin().tools(read_reference(self.plugin)[1])


def _names(plugin: Plugin) -> list[str]:
    """The tools of a plugin that gives some without settings."""
    try:
        return [tool.name for tool in plugin.tools()]
    except RLMError:
        return []


def _agent(plugin: str, name: str, args: Mapping[str, Any], home: Path) -> tuple[Any, list[ToolMessage]]:
    """An agent whose sub-agent makes one call of a tool, and what it reads then."""
    from rlm_agent.agent import create_rlm_agent

    seen: list[ToolMessage] = []

    def sub(messages: list[BaseMessage]) -> AIMessage:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            seen.append(last)
            return AIMessage("done")
        return AIMessage("", tool_calls=[{"name": name, "args": dict(args), "id": "1", "type": "tool_call"}])

    root = ScriptedModel(replies=lambda _: _ROOT)
    return create_rlm_agent(root, [plugin], sub_model=ScriptedModel(replies=sub), home=home / "home"), seen
