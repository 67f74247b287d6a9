"""Sync over async: results, errors, context variables, broken waits, forked children."""

import asyncio
import contextvars
import os
import signal
import threading
import time
from typing import Any

import pytest

from rlm_agent import bridge
from rlm_agent.errors import ConfigError

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("v", default="unset")


def test_results_errors_and_context_variables_cross() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return VARIABLE.get()

    async def fails() -> None:
        raise LookupError("inside")

    VARIABLE.set("the caller's")
    assert bridge.run_sync(work) == "the caller's"
    with pytest.raises(LookupError, match="inside"):
        bridge.run_sync(fails)


def test_one_loop_thread_for_all_callers() -> None:
    async def where() -> str:
        return threading.current_thread().name

    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(bridge.run_sync(where))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(names) == {"rlm-loop"}


def test_a_wait_on_the_loop_thread_is_refused() -> None:
    async def work() -> None:
        bridge.run_sync(lambda: asyncio.sleep(0))

    with pytest.raises(ConfigError, match="ainvoke"):
        bridge.run_sync(work)


def test_ctrl_c_cancels_the_coroutine_and_waits_for_it() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.2)
            ended.append("in order")

    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bridge.run_sync(work)
    assert ended == ["in order"]
    assert time.monotonic() - started < 5


def test_a_forked_child_has_a_loop_of_its_own() -> None:
    async def pid() -> int:
        return os.getpid()

    assert bridge.run_sync(pid) == os.getpid()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if bridge.run_sync(pid) == os.getpid() else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


async def test_both_forms_run_the_same_coroutine() -> None:
    async def node(state: Any, config: Any) -> dict[str, Any]:
        return {"seen": state["x"], "thread": config["configurable"]["thread_id"]}

    made = bridge.both_forms(node, "node")
    config: Any = {"configurable": {"thread_id": "t"}}
    expected = {"seen": 1, "thread": "t"}
    assert await made.ainvoke({"x": 1}, config) == expected
    assert await asyncio.to_thread(made.invoke, {"x": 1}, config) == expected
