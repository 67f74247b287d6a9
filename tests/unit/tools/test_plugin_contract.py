"""Our own plugins keep what `ToolPluginTests` asks of everyone's: files, web and mcp, loaded as users name them."""

import shlex
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rlm_agent.testing import ToolPluginTests

SERVER = Path(__file__).parents[2] / "support" / "mcp_server.py"


def setting(path: Path) -> str:
    """A path as the value of a setting."""
    return str(path).replace(",", ",,")


@pytest.mark.slow
class TestFiles(ToolPluginTests):
    """files, over a directory with a comma in its name."""

    calls: ClassVar[Any] = {
        "read_file": {"path": "보고서.txt"},
        "list_files": {"path": "."},
        "find_files": {"pattern": "**/*.txt"},
        "grep_files": {"pattern": "인구"},
    }
    failing_calls: ClassVar[Any] = {
        "read_file": {"path": "../outside"},
        "list_files": {"path": "nothing"},
        "find_files": {"pattern": "*", "path": ".."},
        "grep_files": {"pattern": "("},
    }
    wrong_settings = (
        {},
        {"roots": "/no/such/directory"},
        {"roots": ".", "hidden": "perhaps"},
        {"roots": ".", "colour": "red"},
    )

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        root = tmp_path / "문서, 둘"
        root.mkdir()
        (root / "보고서.txt").write_text("서울의 인구\n", "utf-8")
        self.plugin: Any = f"files:roots={setting(root)}"


@pytest.mark.slow
class TestWeb(ToolPluginTests):
    """web, over a corpus of files, which is searched and read without a network."""

    calls: ClassVar[Any] = {
        "web_search": {"query": "population of Seoul"},
        "fetch_page": {"url": "https://corpus.test/seoul.txt"},
    }
    failing_calls: ClassVar[Any] = {"web_search": {"query": " "}, "fetch_page": {"url": "https://elsewhere.test/"}}
    wrong_settings = (
        {},
        {"corpus": "/no/such/directory"},
        {"keyless": "perhaps"},
        {"keyless": "true", "egress": "all"},
        {"keyless": "true", "seconds": "-1"},
        {"keyless": "true", "colour": "red"},
    )

    @pytest.fixture(autouse=True)
    def _corpus(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TAVILY_API_KEY", raising=False)
        corpus = tmp_path / "pages"
        corpus.mkdir()
        (corpus / "seoul.txt").write_text("The population of Seoul is ten million.\n", "utf-8")
        allowed = "allow=corpus.test"
        self.plugin: Any = f"web:corpus={setting(corpus)},base=https://corpus.test/,{allowed}"


@pytest.mark.mcp
class TestMcp(ToolPluginTests):
    """mcp, over a real server."""

    plugin = f"mcp:command={shlex.join([sys.executable, str(SERVER)])},only=add"
    calls: ClassVar[Any] = {"add": {"a": 40, "b": 2}}
    failing_calls: ClassVar[Any] = {"add": {"a": "forty", "b": 2}}
    wrong_settings = (
        {},
        {"command": "/no/such/server"},
        {"command": "sleep 60", "seconds": "x"},
        {"command": "sleep 60", "colour": "red"},
    )
