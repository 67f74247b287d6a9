"""`rlm run --agent NAME` and `--max-depth N`: chosen by name, kept with the thread, for follow-ups and resumes."""

import json
from pathlib import Path
from typing import Any

import openai_server
import pytest
from command_line import Rlm

from rlm_agent.cli.starts import load_start
from rlm_agent.ready_made import agent_maker, agent_names
from rlm_agent.store.home import Home
from rlm_agent_tools.files import file_tools
from rlm_agent_tools.web import web_tools

READY = '```python\nanswer["content"] = CONTENT\nanswer["ready"] = True\n```'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "저장소"
    folder.mkdir()
    (folder / "도형.py").write_text("def 넓이(r):\n    return r\n", "utf-8")
    return folder


def serve(content: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    server = openai_server.serve(lambda body: READY.replace("CONTENT", content))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-local")
    return server


def test_the_agent_stays_with_its_thread(
    rlm: Rlm, own_home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve("find_symbol(context, '넓이')[0]['path']", monkeypatch) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run = ("run", "Where?", "-c", str(repository), "--agent", "code_qa", "--model", "openai:gpt-5", "--thread", "t")
        code, out, _ = rlm(*run)
        assert (code, out.strip()) == (0, "도형.py")
        code, out, _ = rlm("run", "And again?", "--thread", "t")
        assert (code, out.strip()) == (0, "도형.py")
        assert all("source repository" in str(body["messages"]) for body in server.requests)
    with Home(own_home) as home:
        start = load_start(home, "t")
    assert start is not None
    assert (start.agent, start.max_depth) == ("code_qa", 1)


@pytest.mark.parametrize(("agent", "guidance"), [("document_qa", "collection of documents"), ("code_qa", "repository")])
def test_each_answers_from_a_directory_without_a_key(
    rlm: Rlm, own_home: Path, repository: Path, agent: str, guidance: str
) -> None:
    (repository / "서랍.txt").write_text("\n".join(f"Drawer {n} holds key {n * 7}." for n in range(3000)), "utf-8")
    asked = ("run", "Which line mentions 'key 14007'?", "-c", str(repository), "--agent", agent, "--model", "offline")
    code, out, err = rlm(*asked, "--json", "--thread", "t")
    assert code == 0, err
    found = json.loads(out)
    assert (found["ready"], found["stopped_by"]) == (True, "ready")
    assert "Drawer 2001 holds key 14007" in str(found["answer"])
    with Home(own_home) as home:
        start = load_start(home, "t")
    assert start is not None
    assert start.agent == agent
    assert guidance in agent_maker(agent)("offline").spec.system_prompt


def test_no_ready_made_agent_holds_file_and_web_tools_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that a sub-agent reads must not be able to carry a file out."""
    monkeypatch.setenv("TAVILY_API_KEY", "tvly-key")
    files = {tool.name for tool in file_tools([Path.cwd()])}
    web = {tool.name for tool in web_tools()}
    held = {name: set(agent_maker(name)("offline").spec.tools) for name in agent_names()}
    assert held["research"] == web
    assert not [name for name, tools in held.items() if tools & files and tools & web]


def test_an_unknown_agent_is_a_usage_error_that_lists_them(rlm: Rlm) -> None:
    code, out, err = rlm("run", "q", "--agent", "code-qa", "--model", "offline")
    assert (code, out) == (2, "")
    assert "no agent is named 'code-qa'. Did you mean 'code_qa'? Installed: code_qa, document_qa, research." in err


def test_depth(rlm: Rlm, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "str(rlm('below')) if 'rlm' in globals() and task == 'top' else 'bottom'"
    with serve(content, monkeypatch) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run = ("run", "top", "--model", "openai:gpt-5", "--max-depth", "2", "--json")
        code, out, _ = rlm(*run)
    assert (code, json.loads(out)["answer"]) == (0, "bottom")
    assert len(server.requests) == 2


def test_a_start_of_before_has_neither(own_home: Path) -> None:
    with Home(own_home) as home:
        file = home.path / "cli"
        file.mkdir()
        from rlm_agent.cli.starts import _file

        given = {"version": 1, "model": "offline", "sub_model": None, "budget": {}, "tools": [], "tips": []}
        _file(home, "old").write_text(json.dumps(given))
        start = load_start(home, "old")
    assert start is not None
    assert (start.agent, start.max_depth) == ("", 1)


def test_every_installed_agent_takes_a_name_and_options() -> None:
    for name in agent_names():
        made = agent_maker(name)("offline", name="mine", system_prompt="Be brief.", max_depth=0)
        assert made.name == "mine"
        assert made.spec.system_prompt.endswith("Be brief.")
