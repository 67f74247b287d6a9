"""Plugins and strategies on the command line: `--tool`, `--tips`, a resume with both, `rlm tools`, `rlm tips`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai_server
import pytest
from command_line import Rlm
from plugin_site import PluginSite

SOURCE = '''
from langchain_core.tools import tool

@tool
def ready(text: str, times: int = 1) -> str:
    """Repeats a text.

    At length.
    """
    return text * times

def tools(settings):
    if "place" not in settings:
        raise ValueError("place is missing: write place=NAME")
    @tool
    def weather(day: str) -> str:
        """날씨를 말한다."""
        return f"{settings['place']} on {day}"
    return [weather]
'''
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"day": "월요일"}'}}
PART = 'print("one turn")'
WHOLE = 'r = llm("날씨?")\nprint(r.error)\nanswer["content"] = str(r)\nanswer["ready"] = True'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginSite:
    site = PluginSite(tmp_path / "site", monkeypatch)
    site.install("good-plugin", "1.2", {"ready": "cli_plugin:ready", "날씨": "cli_plugin:tools"}, cli_plugin=SOURCE)
    return site


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A root that takes one turn, then asks a sub-agent; a sub-agent that calls the tool `weather`."""

    def answer(body: dict[str, Any]) -> Any:
        if body["messages"][0]["role"] == "system" and "You are the root" in body["messages"][0]["content"]:
            turns = sum(message["role"] == "assistant" for message in body["messages"])
            return f"```python\n{[PART, WHOLE][min(turns, 1)]}\n```"
        last = body["messages"][-1]
        return last["content"] if last["role"] == "tool" else {"role": "assistant", "content": "", "tool_calls": [CALL]}

    with openai_server.serve(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-local-0123456789")
        yield server


@pytest.mark.usefixtures("site")
def test_a_resume_has_the_tools_and_strategies_of_the_run(
    rlm: Rlm, served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--model", "openai:gpt-5", "--thread", "t", "--budget", "turns=1")
    stopped = rlm("run", "날씨?", *options, "--tool", "날씨:place=서울,,한국", "--tips", "draft-check-fix")
    assert stopped.code == 3, stopped.err
    monkeypatch.chdir(tmp_path)
    done = rlm("resume", "t", "--budget", "turns=+2")
    assert (done.code, done.out) == (0, "서울,한국 on 월요일\n"), done.err
    assert "relative paths in --tool settings" in done.err
    roots = [body for body in served.requests if "You are the root" in str(body["messages"][0])]
    assert len(roots) == 2
    assert all("Strategy: draft, check, fix" in body["messages"][0]["content"] for body in roots)
    assert not any("tools" in body for body in roots)


@pytest.mark.usefixtures("site", "served")
def test_the_next_question_keeps_the_tools_until_others_are_named(rlm: Rlm) -> None:
    options = ("--model", "openai:gpt-5", "--thread", "t", "-q")
    assert rlm("run", "하나", *options, "--tool", "날씨:place=서울").out == "서울 on 월요일\n"
    assert rlm("run", "둘", "--thread", "t", "-q").out == "서울 on 월요일\n"
    assert rlm("run", "셋", "--thread", "t", "-q", "--tool", "날씨:place=부산").out == "부산 on 월요일\n"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--tool", "nonesuch"), 2, "Installed: files, mcp, ready, web, 날씨"),
        (("--tool", "날씨"), 1, "place is missing: write place=NAME"),
        (("--tool", "ready:k=v"), 2, "takes no settings"),
        (("--tool", "날씨:서울"), 2, "NAME:key=value"),
        (("--tool", "날씨:place=x,my_API_KEY=y"), 2, "recorded in clear"),
        (("--tips", "chunk"), 2, "chunk-and-map"),
    ],
)
def test_a_mistake_is_one_line(rlm: Rlm, arguments: tuple[str, ...], code: int, said: str) -> None:
    ended = rlm("run", "q", "--model", "offline", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1), ended.err
    assert said in ended.err


def test_tools_are_listed_with_origin_and_arguments(rlm: Rlm, site: PluginSite) -> None:
    site.install("bad-plugin", "0.1", {"bad": "no_such_module_here:tools"})
    listed = rlm("tools", "--json")
    rows = {row["plugin"]: row for row in json.loads(listed.out)}
    assert rows["ready"] == {
        "plugin": "ready",
        "origin": {"distribution": "good-plugin", "version": "1.2"},
        "tool": "ready",
        "description": "Repeats a text. At length.",
        "arguments": {
            "text": {"type": "string", "required": True},
            "times": {"type": "integer", "required": False, "default": 1},
        },
    }
    assert (rows["날씨"]["tool"], rows["날씨"]["needs"]) == (None, "place is missing: write place=NAME")
    assert "bad" not in rows
    assert listed.err.startswith("warning: tools: the plugin 'bad' (bad-plugin 0.1) is broken")
    assert listed.code == 0
    text = rlm("tools")
    assert "ready (good-plugin 1.2)\n  ready(text: string, times: integer = 1)\n      Repeats a text." in text.out
    assert "needs settings: place is missing" in text.out


@pytest.mark.usefixtures("site")
def test_plugins_that_are_named_are_listed_with_their_settings(rlm: Rlm) -> None:
    (row,) = json.loads(rlm("tools", "--json", "날씨:place=서울").out)
    assert (row["tool"], row["description"]) == ("weather", "날씨를 말한다.")
    missing = rlm("tools", "날씨")
    assert (missing.code, missing.out) == (1, "")
    assert rlm("tools", "nonesuch").code == 2


def test_two_plugins_of_one_name_are_an_error_that_names_both(rlm: Rlm, site: PluginSite) -> None:
    site.install("other-plugin", "3.0", {"ready": "cli_plugin:ready"})
    listed = rlm("tools", "--json")
    assert listed.code == 1
    assert "'ready', of good-plugin 1.2 and other-plugin 3.0" in listed.err
    assert "날씨" in {row["plugin"] for row in json.loads(listed.out)}
    assert "ready" not in {row["plugin"] for row in json.loads(listed.out)}


def test_strategies_are_listed_and_printed(rlm: Rlm) -> None:
    from rlm_agent.root.tips import tip, tip_names

    assert [line.split()[0] for line in rlm("tips").out.splitlines()] == tip_names()
    assert rlm("tips", "search-then-read").out == tip("search-then-read") + "\n"
    assert json.loads(rlm("tips", "--json").out) == {name: tip(name) for name in tip_names()}
    wrong = rlm("tips", "search")
    assert (wrong.code, wrong.out) == (2, "")
    assert "search-then-read" in wrong.err
