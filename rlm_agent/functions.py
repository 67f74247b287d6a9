"""Host functions that the root may call from its REPL: arguments checked, results plain, failures values.

The arguments come from a model: a function given as `repl_functions` must treat them as untrusted. Functions run in
threads of their own, never on the loop thread; coroutine functions run on the loop.
"""

import asyncio
import contextvars
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlm_agent.bridge import sync_only_executor

__all__ = ["call_function", "call_user_code"]


async def call_function(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Calls a host function for a cell. Returns {"ok": True, "value"} or {"ok": False, "error"}."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        return {"ok": False, "error": f"TypeError: {error}"}
    try:
        value = await call_user_code(function, *args, **kwargs)
        return {"ok": True, "value": json.loads(json.dumps(value))}
    except Exception as error:  # noqa: BLE001 - noqa: BLE001 - whatever a host's function raises is for the root to read
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


async def call_user_code(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs code of the host's, off the loop unless it is async, with the caller's context variables."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(sync_only_executor(), lambda: context.run(function, *args, **kwargs))
