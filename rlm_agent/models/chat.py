"""Models: the only place where one is made or asked.

Owns: from a name to a `BaseChatModel`, one call with its errors as ours, and what a reply cost.
Invariant: a failure is a `ConfigError` or a `ModelError` of one line that says what to do and holds no key; an unknown
price is None, never 0. Leaves to others: when to call, how many at once, what to record. Provider packages are imported
only by the call that needs them.
"""

import asyncio
import contextvars
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import Runnable, RunnableConfig

from rlm_agent.bridge import carried
from rlm_agent.errors import ConfigError, ModelError, RLMError
from rlm_agent.models.endings import broke_off
from rlm_agent.models.errors import base_url, one_line, setup_advice
from rlm_agent.models.loops import on_this_loop

__all__ = [
    "CallUsage",
    "approximate_usage",
    "ask",
    "is_sync_only",
    "model_name",
    "price",
    "provider_errors",
    "received",
    "resolve_model",
    "text_of",
    "usage_of",
]


@dataclass(frozen=True, slots=True)
class CallUsage:
    """What one model call took. Tokens; `cached_tokens` are part of `input_tokens`; `usd` is None where unknown."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    usd: float | None


def resolve_model(spec: str | BaseChatModel, *, role: Literal["root", "sub"]) -> BaseChatModel:
    """A model from what the caller gave.

    Args:
        spec: "offline", a name for LangChain's `init_chat_model`, or a model.
        role: which part the stand-in plays when `spec` is "offline".

    Raises:
        ConfigError: no model can be made of it; the line says what to do.
    """
    if isinstance(spec, BaseChatModel):
        return spec
    if not isinstance(spec, str):
        raise ConfigError(
            f"A model is 'offline', a name such as 'openai:gpt-5' or a LangChain chat model, not {type(spec).__name__}."
            + (" Give the model itself: code_via='tool' binds its one tool." if hasattr(spec, "bound") else "")
        )
    name = spec.strip()
    if name == "offline":
        from rlm_agent import offline  # its program is read only where it is used

        return offline.root_model() if role == "root" else offline.sub_model()
    if not name.rpartition(":")[2]:
        raise ConfigError(
            f"Model {spec!r} names no model: write 'provider:model', for example 'openai:gpt-5', or 'offline'."
        )
    return _init_chat_model(name)


def _init_chat_model(name: str) -> BaseChatModel:
    try:
        from langchain.chat_models import init_chat_model

        model = init_chat_model(name)
    except Exception as error:  # every provider has its own type for a missing key
        raise ConfigError(setup_advice(name, error)) from error
    return model


def model_name(model: BaseChatModel) -> str:
    """The name that prices and usage rows go by: the provider's own, without a "provider:" before it."""
    for attribute in ("model_name", "model", "model_id", "deployment_name"):
        name = getattr(model, attribute, None)
        if isinstance(name, str) and name:
            return name.removeprefix("models/")
    return model.get_name()


def is_sync_only(model: BaseChatModel) -> bool:
    """Whether its async form would only run the sync form in the event loop's small default executor."""
    cls = type(model)
    return cls._agenerate is BaseChatModel._agenerate and cls._astream is BaseChatModel._astream


def text_of(message: BaseMessage) -> str:
    """The text of a message, its text blocks joined."""
    return str(message.text)


async def ask(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    *,
    config: RunnableConfig | None = None,
    tools: Sequence[Any] | None = None,
    executor: Executor | None = None,
    retries: bool = True,
) -> AIMessage:
    """One call of a model. The reply always carries usage: the provider's, else an approximate one.

    Args:
        config: callbacks and tags of the call.
        tools: bound to the model for this call; None sends none.
        executor: where a model that is only sync runs, with the caller's context variables.
        retries: False switches the client's own retries off.

    Raises:
        ModelError: the provider refused, could not be reached, or broke off.
    """
    with provider_errors(model):
        reply = await _invoke(model, list(messages), config, tools, executor, retries)
    return received(reply, messages, model)


@contextmanager
def provider_errors(model: BaseChatModel) -> Iterator[None]:
    """Makes what a provider raises inside the block a `ModelError` of one line."""
    try:
        yield
    except RLMError:
        raise
    except Exception as error:  # every provider raises its own types
        raise ModelError(one_line(error, model_name(model), model)) from error


def received(reply: Any, prompt: Sequence[BaseMessage], model: BaseChatModel) -> AIMessage:
    """A reply as it may be recorded: an `AIMessage` that did not break off, with usage.

    Raises:
        ModelError: it is none.
    """
    name = model_name(model)
    if not isinstance(reply, AIMessage):
        raise ModelError(f"Model {name} returned a {type(reply).__name__} instead of an AIMessage.")
    if broke_off(reply):
        raise ModelError(
            f"Model {name}: the stream ended before the reply did: resume the run (a server that never sends a finish "
            "reason needs a model made with disable_streaming=True)."
        )
    if reply.usage_metadata is None:
        reply.usage_metadata = approximate_usage(prompt, reply)
    return reply


async def _invoke(
    model: BaseChatModel,
    messages: list[BaseMessage],
    config: RunnableConfig | None,
    tools: Sequence[Any] | None,
    executor: Executor | None,
    retries: bool,
) -> Any:
    sync_only = is_sync_only(model)
    here = model if sync_only else await on_this_loop(model, retries=retries)
    runnable: Runnable[Any, Any] = here.bind_tools(tools) if tools else here
    if not sync_only:
        return await runnable.ainvoke(messages, config)
    call = functools.partial(contextvars.copy_context().run, runnable.invoke, messages, config)
    return await asyncio.get_running_loop().run_in_executor(executor, carried, call)


def approximate_usage(prompt: Sequence[BaseMessage], reply: BaseMessage) -> UsageMetadata:
    """Tokens of a call estimated from its characters; the same messages give the same numbers."""
    sent, received = count_tokens_approximately(prompt), count_tokens_approximately([reply])
    return UsageMetadata(input_tokens=sent, output_tokens=received, total_tokens=sent + received)


def usage_of(message: AIMessage, model: BaseChatModel, *, prompt: Sequence[BaseMessage] = ()) -> CallUsage:
    """What a reply cost.

    Args:
        prompt: what was sent; read only where the reply carries no usage, to approximate its tokens.
    """
    usage = message.usage_metadata or approximate_usage(prompt, message)
    details = usage.get("input_token_details") or {}
    cached, written = details.get("cache_read") or 0, details.get("cache_creation") or 0
    tokens = (usage.get("input_tokens") or 0, usage.get("output_tokens") or 0, cached)
    if model._llm_type == "offline":
        return CallUsage(*tokens, usd=0.0)
    names = (model_name(model), str(message.response_metadata.get("model_name") or ""))
    return CallUsage(*tokens, usd=price(names, base_url(model), tokens, written))


def price(names: Sequence[str], url: str, tokens: tuple[int, int, int], written: int = 0) -> float | None:
    """US dollars by genai-prices' bundled data: by the server's address where it is known there, else by name.

    Args:
        names: of the model, the first that has a price counts.
        url: the address that the model is at, or "".
        tokens: sent, received, and those of the sent that were cached.
        written: those of the sent that were written to the cache.
    """
    from genai_prices import Usage, calc_price  # a fifth of a second, and only where something was paid

    usage = Usage(
        input_tokens=tokens[0], output_tokens=tokens[1], cache_read_tokens=tokens[2], cache_write_tokens=written
    )
    for name in filter(None, names):
        for where in (url, None) if url else (None,):
            try:
                return float(calc_price(usage, name, provider_api_url=where).total_price)
            except (LookupError, ValueError):
                continue
    return None
