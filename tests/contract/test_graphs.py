"""The ready-made agents that `langgraph.json` names: they load as LangGraph's server loads them, and answer."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Corpus

ROOT = Path(__file__).parents[2]
SERVED: dict[str, str] = json.loads((ROOT / "langgraph.json").read_text())["graphs"]


@pytest.mark.parametrize("name", SERVED)
def test_a_served_graph_answers_without_a_key(name: str) -> None:
    place, factory = SERVED[name].split(":")
    found = importlib.util.spec_from_file_location(f"served_{name}", ROOT / place)
    assert found is not None
    assert found.loader is not None
    module: Any = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    agent = getattr(module, factory)()
    text = "\n".join(f"Drawer {n} holds key {n * 7}." for n in range(3000))
    given = {"messages": [("user", "Which line mentions 'key 14007'?")], "context": Corpus.load(text)}
    out = agent.invoke(given)
    assert agent.name == name
    assert "Drawer 2001" in out["messages"][-1].content
