"""Root replies in the shapes that live providers give them; each does what the contract, section 4, says."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from rlm_agent import create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel, read_calls

DONE = 'answer["content"] = "done"\nanswer["ready"] = True'
FENCED = f"```python\n{DONE}\n```"
FENCE_INSIDE = 'text = """\n```python\nnot a block\n```\n"""\nprint(len(text))\n' + DONE

OPENAI_RESPONSES = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "```python\nboom\n```"}]},
    {"type": "text", "text": FENCED, "annotations": []},
]
ANTHROPIC_THINKING = [
    {"type": "thinking", "thinking": "I will run ```python\nboom\n```", "signature": "c2ln"},
    {"type": "text", "text": "Here:\n\n" + FENCED},
]
GEMINI = {"finish_reason": "STOP", "model_name": "gemini-3-pro", "safety_ratings": [], "model_provider": "google_genai"}
GEMINI_THOUGHTS = [
    {"type": "thinking", "thinking": "I will run\n```python\nboom\n```", "signature": "c2ln"},
    {"type": "text", "text": FENCED[:20], "extras": {"signature": "bW9yZQ=="}},
    {"type": "text", "text": FENCED[20:]},
    {"type": "thinking", "signature": "bGFzdA=="},
]
GEMINI_PLAIN_PART = [{"type": "thinking", "thinking": "```python\nboom\n```"}, FENCED]
GEMINI_CALL = {
    "function_call": {"name": "python", "arguments": '{"code": "boom"}'},
    "__gemini_function_call_thought_signatures__": {"call_0": "c2ln"},
}
DEEPSEEK = {"reasoning_content": "First:\n```python\nboom\n```\n"}


def ask(*replies: Any, **options: Any) -> tuple[dict[str, Any], list[list[Any]]]:
    seen: list[list[Any]] = []
    script = iter(replies)

    def root(messages: list[Any]) -> Any:
        seen.append(messages)
        return next(script, AssertionError("the root was asked once more than the test expects"))

    agent = create_rlm_agent(ScriptedModel(replies=root), **options)
    return agent.invoke({"messages": [("user", "q")]}, {"configurable": {"thread_id": "shapes"}}), seen


def tool_call(*codes: str, text: str = "", **extras: Any) -> AIMessage:
    calls = [{"name": "python", "args": {"code": code}, "id": f"call_{i}"} for i, code in enumerate(codes)]
    return AIMessage(text, tool_calls=calls, response_metadata={"finish_reason": "tool_calls"}, **extras)


@pytest.mark.parametrize(
    "reply",
    [
        FENCED,
        f"Plan.\n\n{FENCED}\n\nThat was it.",
        f"~~~py\n{DONE}\n~~~",
        f"```repl\n{DONE}\n```",
        f"```\n{DONE}\n```",
        f"```python\nx = 1\n```\nthen\n{FENCED}",
        f"```python\n{FENCE_INSIDE}\n```",
        f"```json\n{{}}\n```\n{FENCED}",
        AIMessage(OPENAI_RESPONSES),
        AIMessage(ANTHROPIC_THINKING, response_metadata={"stop_reason": "end_turn"}),
        AIMessage(GEMINI_THOUGHTS, response_metadata=GEMINI),
        AIMessage(GEMINI_PLAIN_PART, response_metadata=GEMINI),
        AIMessage(FENCED, additional_kwargs=DEEPSEEK, response_metadata={"finish_reason": "stop"}),
        tool_call(DONE),
        tool_call("x = 1", FENCE_INSIDE, text="Let me compute."),
        tool_call(DONE, additional_kwargs=DEEPSEEK),
        tool_call(DONE, additional_kwargs=GEMINI_CALL),
    ],
)
def test_code_is_found(reply: Any) -> None:
    out, _ = ask(reply)
    assert (out["rlm"]["content"], out["rlm"]["turns"]) == ("done", 1)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "The answer is done.",
        f"```json\n{DONE}\n```",
        "```\nnot python at all\n```",
        f"```\nx = 1\n```\nor\n```\n{DONE}\n```",
        AIMessage(""),
        AIMessage("", additional_kwargs={"refusal": "I can't help with that."}),
        AIMessage([{"type": "refusal", "refusal": "I can't help with that."}]),
        AIMessage("", tool_calls=[{"name": "search", "args": {"q": "x"}, "id": "1"}]),
        AIMessage(GEMINI_THOUGHTS[:1], response_metadata=GEMINI),
        AIMessage("", response_metadata={**GEMINI, "finish_reason": "MALFORMED_FUNCTION_CALL"}),
        AIMessage("", additional_kwargs=DEEPSEEK),
        AIMessage("Let me think again.", additional_kwargs=DEEPSEEK),
    ],
)
def test_no_code_is_answered_by_a_reminder(reply: Any) -> None:
    out, seen = ask(reply, FENCED)
    assert (out["rlm"]["content"], out["rlm"]["turns"]) == ("done", 1)
    assert seen[1][-1].content.startswith("Nothing was run")
    assert seen[1][-2].content, "an empty message is not sent back to a provider"
    assert open_run("shapes").turns[0].code == DONE


def test_a_refusal_stays_readable() -> None:
    _, seen = ask(AIMessage("", additional_kwargs={"refusal": "I can't help with that."}), FENCED)
    assert seen[1][-2].content == "I can't help with that."


@pytest.mark.parametrize("reason", [{"finish_reason": "length"}, {"stop_reason": "max_tokens"}])
def test_a_reply_cut_at_the_token_limit_runs_no_half_block(reason: dict[str, str]) -> None:
    half = AIMessage("```python\nx = 1\nprint('never run')", response_metadata=reason)
    out, seen = ask(half, FENCED)
    assert "cut off" in seen[1][-1].content
    assert out["rlm"]["content"] == "done"


def test_the_whole_blocks_of_a_cut_reply_run_and_the_root_is_told() -> None:
    half = AIMessage("```python\nx = 41\n```\n```python\nx += ", response_metadata={"finish_reason": "length"})
    out, seen = ask(half, FENCED.replace('"done"', "x"))
    assert "cut off" in seen[1][-1].content
    assert out["rlm"]["content"] == 41


def test_code_via_tool_binds_one_tool_and_says_so(tmp_path: Any) -> None:
    log = tmp_path / "calls.jsonl"
    model = ScriptedModel(replies=lambda _: tool_call(DONE), log=log)
    agent = create_rlm_agent(model, code_via="tool")
    assert agent.invoke({"messages": [("user", "q")]})["rlm"]["content"] == "done"
    assert [call.tools for call in read_calls(log, "start")] == [("python",)]


def test_blocks_run_in_order_and_a_failing_one_ends_the_turn() -> None:
    first = (
        "```python\na = [1]\n```\n```python\na.append(2)\nraise ValueError('stop')\n```\n```python\na.append(3)\n```"
    )
    out, seen = ask(first, '```python\nanswer["content"] = a\nanswer["ready"] = True\n```')
    assert out["rlm"]["content"] == [1, 2]
    assert "did not run" in seen[1][-1].content
    turn = open_run("shapes").turns[0]
    assert turn.code.count("append") == 2
    assert len(turn.record.cells) == 2
