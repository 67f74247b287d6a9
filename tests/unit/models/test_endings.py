"""How replies end, in the words of several providers."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from rlm_agent.models.endings import broke_off, refusal, shortcoming, was_cut


def reply(text: Any = "some text", **metadata: Any) -> AIMessage:
    return AIMessage(text, response_metadata=metadata)


@pytest.mark.parametrize(
    "message",
    [
        reply(finish_reason="length"),
        reply(stop_reason="max_tokens"),
        reply(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        reply(finish_reason="MAX_TOKENS"),
        reply("", finish_reason="length"),
    ],
)
def test_cut_at_the_token_limit(message: AIMessage) -> None:
    assert was_cut(message)
    assert "cut off" in shortcoming(message)
    assert not broke_off(message)


@pytest.mark.parametrize(
    "message",
    [
        reply(),
        reply(finish_reason="stop", model_provider="openai"),
        reply(finish_reason=None, model_provider="openai"),
        reply(status="completed", incomplete_details=None, model_provider="openai"),
        reply(stop_reason="end_turn", model_provider="anthropic"),
        reply([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "yes"}], stop_reason="end_turn"),
    ],
)
def test_whole(message: AIMessage) -> None:
    assert not was_cut(message)
    assert not broke_off(message)
    assert shortcoming(message) == ""


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (reply(""), "replied with nothing"),
        (reply(" \n"), "replied with nothing"),
        (reply([{"type": "reasoning", "reasoning": "hm"}]), "replied with nothing"),
        (reply("", finish_reason="content_filter"), "withheld"),
        (reply("half", finish_reason="SAFETY"), "withheld"),
        (AIMessage("", additional_kwargs={"refusal": "I can't\nhelp."}), "the model refused: I can't help."),
        (AIMessage([{"type": "refusal", "refusal": "No."}]), "the model refused: No."),
        (
            AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": "e"}]),
            "arguments that are no JSON",
        ),
    ],
)
def test_no_whole_answer(message: AIMessage, says: str) -> None:
    assert says in shortcoming(message)
    assert "\n" not in shortcoming(message)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_stream_without_an_end(provider: str) -> None:
    assert broke_off(reply(model_provider=provider))
    assert not broke_off(reply(model_provider="another"))


def test_a_message_that_refuses_nothing() -> None:
    assert refusal(AIMessage([{"type": "text", "text": "x"}, "y"])) == ""
