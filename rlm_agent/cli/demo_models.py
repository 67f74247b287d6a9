"""The demo's two stand-ins: a root that replays `demo_program.py`, sub-agents that count tokens. No language model.

The sub-agents count by Python's tokenizer, the demo's truth by its parser: two ways to the same numbers.
"""

import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["cells", "count", "root_reply", "sub_reply"]

_HEADER = re.compile(r"^=== (\S+) ===\n", re.M)
_KEYWORDS = {"class": "classes", "def": "functions", "import": "imports"}


@cache
def cells() -> tuple[str, ...]:
    """The cells of the scripted root, one a turn."""
    source = files("rlm_agent.cli").joinpath("demo_program.py").read_text(encoding="utf-8")
    return tuple(cell.strip() for cell in source.split("\n# %%\n")[1:])


def root_reply(messages: Sequence[Any]) -> str:
    """The root's next reply: it knows its turn from its prompt alone, so that any process can go on with it."""
    done = sum(message.type == "ai" for message in messages)
    return f"Turn {done + 1}, replayed from a script.\n\n```python\n{cells()[done]}\n```"


def sub_reply(messages: Sequence[Any]) -> str:
    """What a sub-agent says of the files in its prompt."""
    return json.dumps(count(str(messages[-1].text)))


def count(prompt: str) -> dict[str, int]:
    """Files, lines, classes, functions and imports of the files in a prompt, each below its header line."""
    parts = _HEADER.split(prompt)[2::2]
    found = Counter(files=len(parts), lines=0, classes=0, functions=0, imports=0)
    for text in parts:
        found["lines"] += text.count("\n")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and token.string in _KEYWORDS:
                found[_KEYWORDS[token.string]] += 1
    return dict(found)
