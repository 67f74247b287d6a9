"""How a model's reply ended: whole, cut at the token limit, withheld, broken off.

Owns: the names that providers give it, in `response_metadata`. Pure functions. What to do about it is the caller's:
a root reply that is cut gets a reminder, a sub-agent's becomes a failed slot, a stream that broke off is no reply.
"""

from typing import Any

from langchain_core.messages import AIMessage

__all__ = ["broke_off", "refusal", "shortcoming", "was_cut"]

_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"})
_WITHHELD = frozenset({"content_filter", "refusal", "safety", "blocked", "prohibited_content", "recitation"})
_REASONS = ("finish_reason", "stop_reason", "incomplete_details", "status")
_ALWAYS_TELL = frozenset({"openai", "anthropic"})


def was_cut(message: AIMessage) -> bool:
    """Whether the reply met its token limit."""
    return not _CUT.isdisjoint(_reasons(message))


def broke_off(message: AIMessage) -> bool:
    """Whether a stream ended, in good order, before the reply did; no client raises for that."""
    metadata = message.response_metadata
    return metadata.get("model_provider") in _ALWAYS_TELL and not any(name in metadata for name in _REASONS)


def refusal(message: AIMessage) -> str:
    """The words of a refusal, which some providers give beside an empty content; else ""."""
    said = message.additional_kwargs.get("refusal")
    if isinstance(said, str) and said:
        return said
    blocks = message.content if isinstance(message.content, list) else []
    texts = [block.get("refusal") for block in blocks if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def shortcoming(message: AIMessage) -> str:
    """Why a last reply is no whole answer, in one line; "" where it is one."""
    if was_cut(message):
        return "the reply was cut off at the model's token limit: ask for less in one call"
    if said := refusal(message):
        return f"the model refused: {' '.join(said.split())[:240]}"
    if not _WITHHELD.isdisjoint(_reasons(message)):
        return "the provider withheld the reply (content filter): rephrase the prompt"
    if message.invalid_tool_calls:
        return "the model called a tool with arguments that are no JSON"
    return "" if str(message.text).strip() else "the model replied with nothing"


def _reasons(message: AIMessage) -> frozenset[str]:
    metadata: dict[str, Any] = message.response_metadata or {}
    found = [metadata.get(name) for name in _REASONS]
    words = [reason.get("reason") if isinstance(reason, dict) else reason for reason in found]
    return frozenset(word.lower() for word in words if isinstance(word, str))
