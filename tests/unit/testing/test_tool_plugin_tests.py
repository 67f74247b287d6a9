"""`ToolPluginTests` finds what is wrong with a plugin: each fault of a bad one fails the test that is about it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_site import PluginSite

PLUGIN = '''
from langchain_core.tools import StructuredTool, tool

@tool
def good(text: str) -> str:
    """A tool with nothing wrong."""
    if not text:
        raise ValueError("the text is empty")
    return text

@tool(response_format="content_and_artifact")
def no_hash(text: str):
    """A tool whose source has no sha256."""
    return text, {"sources": [{"url": "https://x.test/"}]}

@tool(response_format="content_and_artifact")
def no_json(text: str):
    """A tool whose artifact is no JSON."""
    return text, {"sources": [], "seen": {1, 2}}

@tool
def always_fails(text: str) -> str:
    """A tool that fails where it should not."""
    raise RuntimeError("Traceback (most recent call last)")

def bare(text: str) -> str:
    return text

def tools(settings):
    if settings.get("units") == "furlongs":
        raise KeyError("units")
    bad_name = StructuredTool.from_function(bare, name="bad name!", description="A name no provider takes.")
    terse = StructuredTool.from_function(bare, name="terse", description="x")
    return [good, no_hash, no_json, always_fails, bad_name, terse]
'''
TESTS = """
from rlm_agent.testing import ToolPluginTests

class TestBad(ToolPluginTests):
    plugin = "bad"
    calls = {name: {"text": "t"} for name in ("good", "no_hash", "no_json", "always_fails", "bad name!", "terse")}
    failing_calls = {"good": {"text": ""}, "no_hash": {"text": "t"}, "always_fails": {"text": "t"}}
    wrong_settings = ({"units": "furlongs"}, {"units": "anything"})

class TestGood(ToolPluginTests):
    plugin = "fine"
    calls = {"good": {"text": "t"}}
    failing_calls = {"good": {"text": ""}}

class TestIncomplete(TestGood):
    plugin = "fine"
    calls = {"nonesuch": {}}
    failing_calls = {}
    test_has_name = None
"""
EXPECTED = {
    "TestBad::test_names_do_not_clash",
    "TestBad::test_it_is_described[terse]",
    "TestBad::test_the_result_is_plain_and_its_sources_are_whole[no_hash]",
    "TestBad::test_the_result_is_plain_and_its_sources_are_whole[no_json]",
    "TestBad::test_the_result_is_plain_and_its_sources_are_whole[always_fails]",
    "TestBad::test_a_sub_agent_uses_it[always_fails]",
    "TestBad::test_a_sub_agent_uses_it_under_ainvoke[always_fails]",
    "TestBad::test_a_failure_is_a_value[no_hash]",
    "TestBad::test_a_failure_is_a_value[always_fails]",
    "TestBad::test_wrong_settings_are_refused_in_words[{'units': 'furlongs'}]",
    "TestBad::test_wrong_settings_are_refused_in_words[{'units': 'anything'}]",
    "TestBad::test_invoke_no_tool_call[always_fails]",
    "TestBad::test_async_invoke_no_tool_call[always_fails]",
    "TestBad::test_invoke_matches_output_schema[always_fails]",
    "TestBad::test_async_invoke_matches_output_schema[always_fails]",
    "TestGood::test_names_do_not_clash",
    "TestIncomplete::test_the_tools_are_those_that_are_called",
    "TestIncomplete::test_names_do_not_clash",
    "TestIncomplete::test_no_overrides_DO_NOT_OVERRIDE",
}


@pytest.mark.slow
def test_each_fault_fails_the_test_that_is_about_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = PluginSite(tmp_path / "site", monkeypatch)
    site.install("bad-plugin", "0.1", {"bad": "bad_plugin:tools", "fine": "bad_plugin:good"}, bad_plugin=PLUGIN)
    (tmp_path / "test_it.py").write_text(TESTS, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(site.path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    failed = set(re.findall(r"^(?:FAILED|ERROR) test_it\.py::(.+?)(?: - .*)?$", done.stdout, re.M))
    about_incomplete = {name for name in failed if name.startswith("TestIncomplete") and "[nonesuch]" in name}
    assert failed - about_incomplete == EXPECTED, done.stdout[-3000:]
    assert about_incomplete


def test_the_doubles_work_without_langchain_tests() -> None:
    code = (
        "import sys; sys.modules['langchain_tests'] = None\n"
        "from rlm_agent.testing import ScriptedModel\n"
        "assert ScriptedModel(['a']).invoke('q').text == 'a'\n"
        "try: from rlm_agent.testing import ToolPluginTests\n"
        "except ImportError as error: assert 'langgraph-rlm[test]' in str(error), error\n"
        "else: raise SystemExit('imported')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
