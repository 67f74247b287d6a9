"""The two code samples of the seed article, run as they stand there, and what the root's request holds."""

from pathlib import Path
from typing import Any

from langchain_core.tools import tool

from rlm_agent import create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel, read_calls


def fenced(*cells: str) -> list[str]:
    return [f"```python\n{cell}\n```" for cell in cells]


def test_answer_is_first_partial_then_final() -> None:
    root = ScriptedModel(
        replies=fenced(
            'answer["content"] = "부분 해결책..."\nanswer["ready"] = False # 처리 계속',
            'answer["content"] = "완전한 해결책..."\nanswer["ready"] = True # 완료 신호',
        )
    )
    agent = create_rlm_agent(root, sub_model=ScriptedModel(replies=[]))
    out = agent.invoke({"messages": [("user", "질문")]}, {"configurable": {"thread_id": "seed-1"}})
    assert out["messages"][-1].content == "완전한 해결책..."
    assert out["rlm"]["ready"] is True
    assert out["rlm"]["turns"] == 2
    first, second = open_run("seed-1").turns
    assert (first.answer.content, first.answer.ready) == ("부분 해결책...", False)
    assert (second.answer.content, second.answer.ready) == ("완전한 해결책...", True)


def test_llm_batch_with_dict_prompts_in_korean() -> None:
    cell = """
section_1, section_2, section_3 = context.split("---")
results = llm_batch([
{"prompt": f"섹션 1 분석: {section_1}"},
{"prompt": f"섹션 2 분석: {section_2}"},
{"prompt": f"섹션 3 분석: {section_3}"}
])
answer["content"] = "|".join(results)
answer["ready"] = True
"""
    sub = ScriptedModel(replies=lambda messages: f"[{messages[-1].content}]")
    agent = create_rlm_agent(ScriptedModel(replies=fenced(cell)), sub_model=sub)
    out = agent.invoke({"messages": [("user", "분석")], "context": "가나---다라---마바"})
    expected = "[섹션 1 분석: 가나]|[섹션 2 분석: 다라]|[섹션 3 분석: 마바]"
    assert out["rlm"]["content"] == expected
    assert out["rlm"]["usage"]["sub"]["calls"] == 3


def test_tools_are_in_neither_the_roots_request_nor_the_repl(tmp_path: Path) -> None:
    @tool
    def secret_lookup(word: str) -> str:
        """Looks a word up."""
        return word.upper()

    seen: list[Any] = []

    def root(messages: Any) -> str:
        seen.append(messages)
        return fenced(
            'answer["content"] = "secret_lookup" in globals() or "secret_lookup" in dir()\nanswer["ready"] = True'
        )[0]

    model = ScriptedModel(replies=root, log=tmp_path / "calls.jsonl")
    agent = create_rlm_agent(model, [secret_lookup], sub_model=ScriptedModel(replies=[]))
    out = agent.invoke({"messages": [("user", "is the tool bound?")]})
    assert out["rlm"]["content"] is False
    assert [call.tools for call in read_calls(tmp_path / "calls.jsonl") if call.event == "start"] == [()]
    assert "Looks a word up" in seen[0][0].content, "the root is told what its sub-agents can do"
