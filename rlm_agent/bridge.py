"""Sync entry over async code: one process-wide loop thread, and the one way to register a node in both forms.

Invariant: code that is not ours and not async never runs on the loop thread; a wait that is broken off (Ctrl-C)
cancels the coroutine and waits until it has put its affairs in order. A forked child starts a thread of its own.
"""

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig, RunnableLambda

from rlm_agent.errors import ConfigError

__all__ = ["PATIENCE", "both_forms", "carried", "run_sync", "sync_only_executor"]

T = TypeVar("T")
AsyncNode = Callable[[Any, RunnableConfig], Coroutine[Any, Any, Any]]

PATIENCE = 2.0
"""Seconds that a coroutine has after Ctrl-C to come to its end, before it is cancelled."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_executor: ThreadPoolExecutor | None = None
_pid = 0


def run_sync(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine on the loop thread, with the caller's context variables, and returns its result.

    Raises:
        ConfigError: called on the loop thread itself, where waiting would never end.
    """
    loop = _loop_thread()
    if threading.current_thread() is _thread:
        raise ConfigError(
            "A sync call (invoke, stream) was made from the agent's own loop thread, where it would wait for itself. "
            "Use ainvoke or astream in async code."
        )
    waiting: Future[T] = Future()
    context = contextvars.copy_context()
    loop.call_soon_threadsafe(_start, work, context, waiting, context=context)
    try:
        return waiting.result()
    except BaseException as error:
        _settle(loop, waiting, PATIENCE if isinstance(error, KeyboardInterrupt) else 0.0)
        raise


def both_forms(node: AsyncNode, name: str) -> RunnableLambda[Any, Any]:
    """A node that LangGraph can run under sync and async entry alike; the sync form runs the same coroutine."""

    def sync_form(state: Any, config: RunnableConfig) -> Any:
        return run_sync(lambda: node(state, config))

    async def async_form(state: Any, config: RunnableConfig) -> Any:
        return await node(state, config)

    return RunnableLambda(sync_form, afunc=async_form, name=name)


def carried(call: Callable[[], T]) -> T:
    """Makes a call whose end is waited for: no future can carry a StopIteration, and the wait would have no end.

    Raises:
        RuntimeError: it raised one; a coroutine makes the same of it.
    """
    try:
        return call()
    except StopIteration as error:
        raise RuntimeError("the call raised StopIteration") from error


def sync_only_executor() -> ThreadPoolExecutor:
    """Threads for user code that is not async: 64 a process, since the loop's own default has as few as 6."""
    global _executor
    with _lock:
        if _executor is None or _pid != os.getpid():
            _executor = ThreadPoolExecutor(64, thread_name_prefix="rlm-user-code")
        return _executor


def _start(work: Callable[[], Coroutine[Any, Any, T]], context: contextvars.Context, waiting: "Future[T]") -> None:
    task = asyncio.get_running_loop().create_task(_guarded(work), context=context)
    waiting.rlm_task = task  # type: ignore[attr-defined]
    task.add_done_callback(lambda done: _hand_over(done, waiting))


async def _guarded(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await work()


def _hand_over(task: "asyncio.Task[T]", waiting: "Future[T]") -> None:
    if task.cancelled():
        waiting.cancel()
        waiting.set_running_or_notify_cancel()
    elif (error := task.exception()) is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(task.result())


def _settle(loop: asyncio.AbstractEventLoop, waiting: "Future[Any]", patience: float) -> None:
    """After a broken wait: cancel the coroutine once `patience` seconds are over, and wait until it has ended."""
    ended = threading.Event()

    def cancel() -> None:
        task = getattr(waiting, "rlm_task", None)
        if task is None or task.done():
            ended.set()
            return
        task.add_done_callback(lambda _: ended.set())
        loop.call_later(patience, task.cancel)

    if not waiting.done():
        loop.call_soon_threadsafe(cancel)
        ended.wait()


def _loop_thread() -> asyncio.AbstractEventLoop:
    global _loop, _thread, _pid, _executor
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop, _pid, _executor = asyncio.new_event_loop(), os.getpid(), None
            _loop.set_default_executor(ThreadPoolExecutor(64, thread_name_prefix="rlm-loop"))
            _thread = threading.Thread(target=_loop.run_forever, name="rlm-loop", daemon=True)
            _thread.start()
        return _loop


def _forget() -> None:
    """In a forked child: the parent's thread, and a lock it may have held, are not here."""
    global _lock, _loop, _thread, _executor
    _lock, _loop, _thread, _executor = threading.Lock(), None, None, None


os.register_at_fork(after_in_child=_forget)
