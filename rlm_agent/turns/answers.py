"""The answer's content, out of a turn record and into a final message."""

import json
from collections.abc import Mapping
from typing import Any

from rlm_agent.store.home import Home
from rlm_agent.store.plain import unpack

__all__ = ["answer_content", "answer_text"]


async def answer_content(home: Home, answer: Mapping[str, Any]) -> Any:
    """The content of a recorded answer; large content is read from its blob."""
    if "ref" in answer:
        return unpack(await home.read(home.blobs.get, answer["ref"]))
    return answer["content"]


def answer_text(content: Any) -> str:
    """The content as the text of a message; "" where there is none."""
    if content is None:
        return ""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1)
