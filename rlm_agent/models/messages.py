"""LangChain messages in and out of plain values: for the ledger, for the REPL's `messages`, for digests."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    message_to_dict,
    messages_from_dict,
)

from rlm_agent.models.chat import text_of

__all__ = ["conversation", "dump", "last_human", "load", "spoken"]


def dump(message: BaseMessage) -> dict[str, Any]:
    """A message as JSON values; what JSON cannot hold of a provider's extras becomes text."""
    return json.loads(json.dumps(message_to_dict(message), default=str))  # type: ignore[no-any-return]


def load(data: dict[str, Any]) -> Any:
    """The inverse of `dump`."""
    return messages_from_dict([data])[0]


def last_human(messages: Sequence[BaseMessage]) -> int | None:
    """The position of the last human message, or None."""
    for i in range(len(messages) - 1, -1, -1):
        if isinstance(messages[i], HumanMessage):
            return i
    return None


def conversation(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Messages as the REPL's `messages` shows them: [{"role", "content"}, ...], tool traffic left out."""
    roles = {"human": "user", "ai": "assistant", "system": "system"}
    return [
        {"role": roles[message.type], "content": text_of(message)}
        for message in messages
        if message.type in roles and not (isinstance(message, AIMessage) and message.tool_calls)
    ]


def spoken(earlier: Sequence[Mapping[str, Any]], id_: Callable[[int], str]) -> list[BaseMessage]:
    """The inverse of `conversation`; `id_` names the n-th message."""
    kinds: dict[str, type[BaseMessage]] = {"user": HumanMessage, "assistant": AIMessage, "system": SystemMessage}
    return [kinds[entry["role"]](content=entry["content"], id=id_(n)) for n, entry in enumerate(earlier)]
