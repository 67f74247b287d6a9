"""A chat model that follows a script, for tests without a provider.

Owns: taking the next reply, its delay, its usage, its log. Invariant: replies of a list are handed out once each, in
the order in which the calls began, whatever the threads and loops; with `log`, a call is on the disk before it does
anything and its outcome before the caller sees it.
"""

import asyncio
import hashlib
import json
import os
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCallChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from rlm_agent.bridge import carried
from rlm_agent.models.chat import approximate_usage
from rlm_agent.testing.call_log import Call, append

__all__ = ["Reply", "ScriptExhausted", "ScriptedModel"]

Reply = str | AIMessage | BaseException
Script = Sequence[Reply] | Callable[[list[BaseMessage]], Reply]


class ScriptExhausted(AssertionError):
    """A list of replies was asked for one more than it holds."""


class ScriptedModel(BaseChatModel):
    """A chat model that follows a script.

    Args:
        replies: a list, consumed in the order of the calls, or a function of the messages. A reply is a text, an
            `AIMessage` (with tool calls, usage, content blocks) or an exception, which is raised.
        delay: seconds between the start of a call and its reply.
        log: a file that gets one durable line at the start and one at the end of each call; see `read_calls`.
        model_name: what prices and usage rows go by.

    Example:
        >>> ScriptedModel(replies=["first", "second"]).invoke("hello").text
        'first'
    """

    replies: Any = Field(default=(), repr=False)
    delay: float = 0.0
    log: Path | None = None
    model_name: str = "scripted"

    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _begun: int = PrivateAttr(default=0)
    _in_flight: int = PrivateAttr(default=0)
    _peak: int = PrivateAttr(default=0)

    def __init__(self, replies: Script = (), **fields: Any) -> None:
        super().__init__(replies=replies, **fields)  # type: ignore[call-arg]

    @property
    def calls(self) -> int:
        """How many calls have begun in this process."""
        return self._begun

    @property
    def peak_in_flight(self) -> int:
        """The most calls that were in flight at once."""
        return self._peak

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The same model; the log of its calls names the tools."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._begin(messages, kwargs)
        try:
            call.started()
            time.sleep(self.delay)
            return _result(call.outcome())
        finally:
            self._end()

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._begin(messages, kwargs)
        try:
            # The log is synced and reply functions run in threads: neither may hold up the caller's event loop.
            await asyncio.to_thread(call.started)
            await asyncio.sleep(self.delay)
            return _result(await asyncio.to_thread(carried, call.outcome))
        finally:
            self._end()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from _chunks(self._generate(messages, stop, None, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _chunks(await self._agenerate(messages, stop, None, **kwargs)):
            yield chunk

    def _begin(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> "_ScriptedCall":
        with self._lock:
            position, self._begun = self._begun, self._begun + 1
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
        tools = tuple(tool["function"]["name"] for tool in kwargs.get("tools") or ())
        return _ScriptedCall(self, position, messages, tools)

    def _end(self) -> None:
        with self._lock:
            self._in_flight -= 1


class _ScriptedCall:
    """One call: its place in the script and its lines in the log."""

    def __init__(
        self, model: ScriptedModel, position: int, messages: list[BaseMessage], tools: tuple[str, ...]
    ) -> None:
        self.model = model
        self.position = position
        self.messages = messages
        self.tools = tools
        self.id = uuid.uuid4().hex

    def started(self) -> None:
        """Logs that the call began."""
        self._record("start", str(self.messages[-1].text) if self.messages else "")

    def outcome(self) -> AIMessage:
        """The reply, logged; an exception of the script is logged and raised."""
        try:
            reply = self._reply()
        except BaseException as error:
            self._record("error", f"{type(error).__name__}: {error}")
            raise
        self._record("reply", str(reply.text))
        return reply

    def _reply(self) -> AIMessage:
        script = self.model.replies
        reply = script(self.messages) if callable(script) else self._next(script)
        if isinstance(reply, BaseException):
            raise reply
        message = AIMessage(reply) if isinstance(reply, str) else reply.model_copy(deep=True)
        if message.usage_metadata is None:
            message.usage_metadata = approximate_usage(self.messages, message)
        return message

    def _next(self, script: Sequence[Reply]) -> Reply:
        if self.position >= len(script):
            raise ScriptExhausted(
                f"The script of {self.model.model_name!r} holds {len(script)} replies and this is call "
                f"{self.position + 1}; its last message: {str(self.messages[-1].text)[-200:]!r}"
            )
        return script[self.position]

    def _record(self, event: Any, text: str) -> None:
        if self.model.log is None:
            return
        digest = _digest(self.messages)
        append(
            self.model.log,
            Call(event, self.id, digest, os.getpid(), self.model.model_name, self.tools, text, time.time()),
        )


def _digest(messages: Sequence[BaseMessage]) -> str:
    rows = [[m.type, m.content, getattr(m, "tool_calls", None), getattr(m, "tool_call_id", None)] for m in messages]
    data = json.dumps(rows, sort_keys=True, default=str)
    return hashlib.blake2b(data.encode(), digest_size=16).hexdigest()


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunks(result: ChatResult) -> Iterator[ChatGenerationChunk]:
    """A reply in words; the last chunk carries what is not text."""
    message = result.generations[0].message
    assert isinstance(message, AIMessage)
    words: list[Any] = (
        re.findall(r"\S+\s*|\s+", message.content) if isinstance(message.content, str) else [message.content]
    )
    for word in words:
        yield ChatGenerationChunk(message=AIMessageChunk(content=word))
    calls = [
        ToolCallChunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=i, type="tool_call_chunk")
        for i, call in enumerate(message.tool_calls)
    ]
    empty: Any = "" if isinstance(message.content, str) else []
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content=empty,
            tool_call_chunks=calls,
            usage_metadata=message.usage_metadata,
            additional_kwargs=message.additional_kwargs,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
    )
