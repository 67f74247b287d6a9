"""Plugins: how a reference is read, what an entry point may be, and what is said where one is wrong."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool
from plugin_site import PluginSite

from rlm_agent import ConfigError, ToolError, create_rlm_agent
from rlm_agent.plugins import SettingsRefused, installed, named, read_reference
from rlm_agent.sub_agents.toolbox import toolbox

GOOD = '''
from langchain_core.tools import tool

@tool
def ready(text: str) -> str:
    """A tool as it is."""
    return text

def plain(text: str) -> str:
    """A function."""
    return text

def tools(settings):
    if "units" not in settings:
        raise ValueError("units is missing:\\nwrite units=metric.")
    @tool
    def weather(place: str) -> str:
        """Tells the weather."""
        return f"{place}: {dict(settings)}"
    return [weather]
'''
WRONG = """
from langchain_core.tools import BaseTool, tool
number = 3
class Kind(BaseTool): ...
def nothing(settings): return []
def text(settings): return "weather"
def mixed(settings): return [3]
def undescribed(x): return x
def stopped(settings): raise SystemExit(3)
def later(settings):
    raise KeyError("x")
    yield
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginSite:
    return PluginSite(tmp_path / "site", monkeypatch)


@pytest.fixture
def good(site: PluginSite) -> PluginSite:
    plugins = {"ready": "good_plugin:ready", "plain": "good_plugin:plain", "날씨": "good_plugin:tools"}
    site.install("good-plugin", "1.2", plugins, good_plugin=GOOD)
    return site


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("web", "web", {}),
        ("web:", "web", {}),
        ("files:roots=./docs", "files", {"roots": "./docs"}),
        ("files:roots=/a:/b:c,max=3", "files", {"roots": "/a:/b:c", "max": "3"}),
        ("mcp:url=http://127.0.0.1:8000/mcp,prefix=a", "mcp", {"url": "http://127.0.0.1:8000/mcp", "prefix": "a"}),
        ("f:roots=a,,b,k=1", "f", {"roots": "a,b", "k": "1"}),
        ("f:roots=a,,,k=1", "f", {"roots": "a,", "k": "1"}),
        ("f:q=x=y, k = 1,", "f", {"q": "x=y", "k": " 1"}),
        ("f:말=가나 다", "f", {"말": "가나 다"}),
        ("f:k=", "f", {"k": ""}),
    ],
)
def test_a_reference_is_a_name_and_settings(text: str, name: str, settings: dict[str, str]) -> None:
    assert read_reference(text) == (name, settings)


@pytest.mark.parametrize("text", ["files:./docs", "f:=x", "f:a=1,b", "f:a=1,a=2"])
def test_a_setting_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="NAME:key=value"):
        read_reference(text)


@pytest.mark.usefixtures("good")
def test_the_three_forms_of_a_plugin_give_tools() -> None:
    found = toolbox(["ready", "날씨:units=metric,roots=a:b,,c", "plain"])
    assert list(found) == ["ready", "weather", "plain"]
    assert found["weather"].invoke({"place": "서울"}) == "서울: {'units': 'metric', 'roots': 'a:b,c'}"
    assert found["plain"].description == "A function."


@pytest.mark.usefixtures("good")
def test_a_plugin_is_loaded_only_when_it_is_named() -> None:
    origins = {plugin.name: plugin.origin for plugin in installed()}
    create_rlm_agent("offline")
    assert origins["날씨"] == "good-plugin 1.2"
    assert "good_plugin" not in sys.modules
    create_rlm_agent("offline", ["ready"])
    assert "good_plugin" in sys.modules


@pytest.mark.usefixtures("good")
def test_an_unknown_name_lists_the_known_ones_and_how_to_get_more() -> None:
    with pytest.raises(ConfigError) as caught:
        create_rlm_agent("offline", ["nonesuch:k=v"])
    for said in ("'nonesuch'", "plain, ready", "날씨", "pip install"):
        assert said in str(caught.value)


@pytest.mark.usefixtures("good")
def test_settings_that_a_plugin_refuses_are_told_in_its_words() -> None:
    with pytest.raises(SettingsRefused) as caught:
        create_rlm_agent("offline", ["날씨"])
    assert str(caught.value) == "tools: the plugin '날씨' (good-plugin 1.2): units is missing: write units=metric"
    with pytest.raises(ConfigError, match=r"'ready' \(good-plugin 1.2\) takes no settings"):
        create_rlm_agent("offline", ["ready:k=v"])


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("no_such_module:tools", "cannot be imported: ModuleNotFoundError"),
        ("wrong_plugin:missing", "cannot be imported: AttributeError"),
        ("exits_plugin:tools", "cannot be imported: SystemExit"),
        ("wrong_plugin:number", "is a int, not a tool"),
        ("wrong_plugin:Kind", "is a class"),
        ("wrong_plugin:nothing", "gave none"),
        ("wrong_plugin:text", "gave str"),
        ("wrong_plugin:mixed", "gave int"),
        ("wrong_plugin:undescribed", "cannot be a tool"),
        ("wrong_plugin:stopped", "gave no tools: SystemExit"),
        ("wrong_plugin:later", "gave no tools: KeyError"),
    ],
)
def test_a_broken_plugin_is_a_tool_error_that_names_it(site: PluginSite, place: str, said: str) -> None:
    site.install("bad-plugin", "0.1", {"bad": place}, wrong_plugin=WRONG, exits_plugin="raise SystemExit(1)")
    create_rlm_agent("offline")
    with pytest.raises(ToolError) as caught:
        create_rlm_agent("offline", ["bad"])
    assert said in str(caught.value)
    assert "'bad' (bad-plugin 0.1)" in str(caught.value)
    assert not isinstance(caught.value, SettingsRefused)
    assert "\n" not in str(caught.value)


def test_two_plugins_of_one_name_are_an_error_that_names_both(good: PluginSite) -> None:
    good.install("other-plugin", "3.0", {"ready": "good_plugin:plain"})
    with pytest.raises(ConfigError, match=r"named 'ready', of good-plugin 1.2 and other-plugin 3.0"):
        named("ready")
    assert list(toolbox(["plain"])) == ["plain"]


@pytest.mark.usefixtures("good")
def test_two_tools_of_one_name_are_an_error_that_names_both() -> None:
    @tool
    def ready(text: str) -> str:
        """Another."""
        return text

    with pytest.raises(ConfigError) as caught:
        create_rlm_agent("offline", [ready, "ready"])
    for said in ("named 'ready'", "tools[0]", "the plugin 'ready' (good-plugin 1.2)"):
        assert said in str(caught.value)
    with pytest.raises(ConfigError, match=r"tools\[0\] and the one given as tools\[1\]"):
        create_rlm_agent("offline", [ready, ready])


@pytest.mark.parametrize(("given", "said"), [("web", "give a list"), ([3], "neither a tool"), ([""], "no plugin")])
def test_what_is_no_list_of_tools_is_refused(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        toolbox(given)


@pytest.mark.usefixtures("good")
def test_a_sub_agent_uses_a_plugin_and_the_root_has_nothing_of_it() -> None:
    from langchain_core.messages import AIMessage

    from rlm_agent.testing import ScriptedModel

    call = {"name": "weather", "args": {"place": "서울"}, "id": "1", "type": "tool_call"}
    seen: list[str] = []

    def sub(messages: list[Any]) -> Any:
        return AIMessage("", tool_calls=[call]) if messages[-1].type == "human" else messages[-1].text

    def root(messages: list[Any]) -> str:
        seen.extend(str(message.text) for message in messages)
        return '```python\nanswer["content"] = str(llm("날씨?"))\nanswer["ready"] = "weather" not in globals()\n```'

    agent = create_rlm_agent(ScriptedModel(replies=root), ["날씨:units=metric"], sub_model=ScriptedModel(replies=sub))
    out = agent.invoke({"messages": [("user", "날씨는?")]})["rlm"]
    assert out["ready"] is True
    assert out["content"] == "서울: {'units': 'metric'}"
    assert "place" not in json.dumps(seen, ensure_ascii=False)
