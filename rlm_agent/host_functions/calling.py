"""Host functions that the root may call from its REPL: arguments checked, results plain, failures values.

The arguments come from a model: a function given as `repl_functions` must treat them as untrusted. They are compared
with the signature, its annotations included, and handed over as they came, never converted. Functions run in threads
of their own, never on the loop thread; coroutine functions run on the loop.
"""

import asyncio
import contextvars
import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool

from rlm_agent.bridge import carried, sync_only_executor
from rlm_agent.host_functions.argument_types import check_types

__all__ = ["as_function", "call_function", "call_user_code", "wrong_arguments"]


async def call_function(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Calls a host function for a cell. Returns {"ok": True, "value"} or {"ok": False, "error"}."""
    try:
        value = await call_user_code(function, *args, **kwargs)
        return {"ok": True, "value": json.loads(json.dumps(value))}
    except Exception as error:  # noqa: BLE001  # whatever a host's function raises is for the root to read
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def wrong_arguments(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Why a function cannot be called like this; None where it can."""
    try:
        check_types(function, inspect.signature(function).bind(*args, **kwargs))
    except TypeError as error:
        return f"TypeError: {error}"
    return None


def as_function(tool: BaseTool) -> Callable[..., Any]:
    """A LangChain tool as a host function: its arguments, those that must be given first; its name, text and marks."""
    fields = sorted(tool.args.items(), key=lambda field: "default" in field[1])
    kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    signature = inspect.Signature(
        [inspect.Parameter(name, kind, default=schema.get("default", empty)) for name, schema in fields]
    )

    def call(*args: Any, **kwargs: Any) -> Any:
        return tool.invoke(dict(signature.bind(*args, **kwargs).arguments))

    async def acall(*args: Any, **kwargs: Any) -> Any:
        return await tool.ainvoke(dict(signature.bind(*args, **kwargs).arguments))

    function: Any = call if getattr(tool, "coroutine", None) is None else acall
    function.__name__, function.__doc__ = tool.name, tool.description
    function.__signature__, function.metadata = signature, tool.metadata
    return function  # type: ignore[no-any-return]


async def call_user_code(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs code of the host's, off the loop unless it is async, with the caller's context variables."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    call = functools.partial(context.run, function, *args, **kwargs)
    return await loop.run_in_executor(sync_only_executor(), carried, call)
