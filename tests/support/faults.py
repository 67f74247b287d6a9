"""What goes wrong at a provider, as a table: what is sent, and what the one-line error says of it."""

import json
from typing import Any

from openai_server import HANG_UP, Broken, Completion, Raw, Refusal
from provider import KEY

_WORDS = "many words that nobody will read to their end"
_CHOICELESS = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}


def _raw(**more: Any) -> Raw:
    return Raw(json.dumps({**_CHOICELESS, **more}).encode())


NO_REPLY: dict[str, tuple[Any, str]] = {
    "401": (Refusal(401, f"Incorrect API key provided: {KEY[:9]}***"), "answered 401: the key was refused"),
    "404": (Refusal(404, "The model `sub` does not exist"), "answered 404: no such model there"),
    "429": (Refusal(429, "slow down"), "answered 429: the rate limit or quota is used up"),
    "500": (Refusal(500, f"boom with {KEY}\nand more"), "answered 500: the server failed"),
    "503": (Refusal(503, "<html>\n<h1>Unavailable</h1></html>"), "answered 503: the server failed"),
    "hung up": (HANG_UP, "the connection broke"),
    "cut in the middle": (Broken(_WORDS), "the connection broke"),
    "a page": (Raw(b"<html>\n<h1>Welcome</h1></html>", "text/html"), "sent no chat completion"),
    "no JSON": (Raw(b"upstream said: oops"), "sent no chat completion"),
    "empty body": (Raw(b""), "sent no chat completion"),
    "no choices": (_raw(choices=[]), "sent no chat completion"),
    "null choices": (_raw(choices=None), "sent no chat completion"),
    "a list": (Raw(b"[1]"), "sent no chat completion"),
}
"""Requests that bring no reply, plain or streamed."""

NO_STREAM: dict[str, tuple[Any, str]] = {
    "ended early": (Completion(_WORDS, None), "the stream ended before the reply did"),
    "a broken event": (Raw(b'data: {"id": "x", "choi\n\n'), "sent no chat completion"),
    "an error event": (Raw(b'data: {"error": {"message": "overloaded"}}\n\n'), "(overloaded)"),
}
"""The same, of streams only."""

NOT_WHOLE: dict[str, tuple[Any, str]] = {
    "cut off": (Completion(_WORDS, "length"), "cut off at the model's token limit"),
    "withheld": (Completion("", "content_filter"), "withheld the reply (content filter)"),
    "null": ({"role": "assistant", "content": None}, "replied with nothing"),
    "empty": ("", "replied with nothing"),
}
"""Replies, paid for, that are no whole answer."""


def only_line(text: str) -> str:
    """An error's text, which must be one line of bearable length that holds nothing of the key."""
    assert "\n" not in text
    assert KEY[:9] not in text
    assert 10 < len(text) < 500
    return text
