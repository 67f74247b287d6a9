"""Root replies in the shapes that providers give them, brought to one: text with fenced blocks.

A reply is read by `message.text`, so reasoning blocks do not count; calls of the tool `python` become fenced blocks;
a refusal is text. What a reply was recorded as is never read differently later.
"""

import re
from typing import Any

from langchain_core.messages import AIMessage

from rlm_agent.models.chat import text_of
from rlm_agent.models.endings import refusal, was_cut
from rlm_agent.prompts import render
from rlm_agent.root.fences import ParsedReply, parse_reply
from rlm_agent.store.records import StepRecord

__all__ = ["PYTHON_TOOL", "as_reply", "parsed", "reminder_for", "reply_body"]

PYTHON_TOOL = {
    "type": "function",
    "function": {
        "name": "python",
        "description": "Runs a block of Python in the persistent REPL and returns what it printed.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The block."}},
            "required": ["code"],
        },
    },
}


def reply_body(message: AIMessage) -> dict[str, Any]:
    """What of a reply is acted on: {"text", "cut"}."""
    parts = [text_of(message), *(as_reply(code) for code in _python_calls(message))]
    text = "\n\n".join(part for part in parts if part.strip())
    return {"text": text or refusal(message), "cut": was_cut(message)}


def parsed(step: StepRecord) -> ParsedReply:
    """The code of a recorded root reply."""
    return parse_reply(step.body["text"], cut_off=bool(step.body.get("cut")))


def reminder_for(step: StepRecord) -> str:
    """What the root is told after a reply without code."""
    return render("reminder_cut" if step.body.get("cut") else "reminder")


def _python_calls(message: AIMessage) -> list[str]:
    calls = [call["args"].get("code") for call in message.tool_calls if call["name"] == "python"]
    return [code for code in calls if isinstance(code, str)]


def as_reply(code: str) -> str:
    """Code as a reply of one block, in a fence longer than any that it holds."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}python\n{code}\n{fence}"
