"""The two stand-ins as chat models.

Owns: which cell of the program comes next, and what a prompt asks to be quoted. Invariant: every reply says that no
language model wrote it. Leaves to others: the search itself (`lookup_program.py`, `terms.py`).
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from rlm_agent.models.chat import approximate_usage, text_of
from rlm_agent.offline.terms import best_lines, read_question

__all__ = ["NOTICE", "OfflineRoot", "OfflineSub"]

NOTICE = "Written by the offline stand-in, which is no language model: it finds names and words and quotes lines."
_STEPS = ("read the question and look at the input", "search the input", "write the answer")
_DONE = re.compile(r"^\[offline (\d)/3\]", re.M)
_PART = re.compile(r"\AQuestion: (.*)\nBelow is a part of (.+), from line (\d+)\..*?\n---\n(.*)\Z", re.S)
_FAILED = "The program failed"


class _Offline(BaseChatModel):
    """What both share: no price, approximate usage, no tools called."""

    model_name: str = "offline"

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The same model: it calls no tool."""
        return self.bind()

    def reply(self, messages: Sequence[BaseMessage]) -> str:
        """The text of the next reply."""
        raise NotImplementedError

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = AIMessage(self.reply(messages), response_metadata={"model_name": self.model_name})
        message.usage_metadata = approximate_usage(messages, message)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop)


class OfflineRoot(_Offline):
    """Plays the program cell by cell; ends honestly where a cell failed."""

    def reply(self, messages: Sequence[BaseMessage]) -> str:
        """The next cell, by what the last one printed."""
        said = [i for i, message in enumerate(messages) if isinstance(message, AIMessage)]
        if not said:
            return _cell(0)
        feedback = "\n".join(text_of(message) for message in messages[said[-1] + 1 :])
        done = [int(step) for step in _DONE.findall(feedback)]
        if done and done[-1] < len(_STEPS):
            return _cell(done[-1])
        last = text_of(messages[said[-1]])
        if done or "```" not in last or _FAILED in last:
            return f"I cannot mend the answer: the program has done all it can. {NOTICE}"
        return _surrender(feedback)


def _cell(step: int) -> str:
    blocks = [_source("terms.py"), f"NOTICE = {NOTICE!r}", _cells()[0]] if step == 0 else [_cells()[step]]
    fenced = "\n".join(f"```python\n{block.strip()}\n```" for block in blocks)
    return f"Step {step + 1} of {len(_STEPS)}: {_STEPS[step]}. {NOTICE}\n\n{fenced}"


def _surrender(feedback: str) -> str:
    errors = re.findall(r"^\w*(?:Error|Exception|Exceeded|Interrupt|Timeout)\b.*$", feedback, re.M)
    why = errors[-1][:300] if errors else "a cell did not end as it should"
    content = f"{_FAILED}, so nothing was looked up: {why}\n{NOTICE}"
    return f'{_FAILED}. {NOTICE}\n\n```python\nanswer["content"] = {content!r}\nanswer["ready"] = True\n```'


@cache
def _source(name: str) -> str:
    return files("rlm_agent.offline").joinpath(name).read_text(encoding="utf-8")


def _cells() -> list[str]:
    return _source("lookup_program.py").split("\n# %%\n")[1:]


class OfflineSub(_Offline):
    """Quotes the lines of its prompt that match the question in it best, with their source."""

    def reply(self, messages: Sequence[BaseMessage]) -> str:
        """The quoted lines, or NONE."""
        prompt = next((text_of(m) for m in reversed(messages) if isinstance(m, HumanMessage)), "")
        part = _PART.match(prompt)
        if part is not None:
            question, source, first, text = part.group(1), part.group(2), int(part.group(3)), part.group(4)
        else:
            (question, text), source, first = _split(prompt), "prompt", 1
        lookup = read_question(question)
        rows = best_lines(text, first, lookup) if lookup is not None else []
        quotes = [f"{source}:{line}: {row}" for line, row in rows] or ["NONE"]
        return "\n".join([*quotes, f"({NOTICE})"])


def _split(prompt: str) -> tuple[str, str]:
    """The question of a prompt that is not the program's, and the text with its question blanked, lines kept."""
    lines = prompt.split("\n")
    filled = [i for i, line in enumerate(lines) if line.strip()] or [0]
    asked = [i for i in filled if lines[i].rstrip().endswith(("?", "？"))] or filled[:1]
    return lines[asked[-1]], "\n".join("" if i == asked[-1] else line for i, line in enumerate(lines))
