"""One model call of a run, within the run's bounds: in turn, within the budget, tried again after a setback.

Invariant: nothing is sent while the model's gate is closed, beyond `Limits.concurrency`, or without its estimate set
aside on the account; a reply keeps its place until the fsync that covers its record, and what was set aside is given
back at the moment its real cost is counted. A call that waits holds no place.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from rlm_agent.entries.activity import Activity
from rlm_agent.entries.draining import check_drain
from rlm_agent.errors import ModelError
from rlm_agent.models.chat import model_name
from rlm_agent.models.estimates import set_aside
from rlm_agent.models.rate_limits import LONGEST, Gate
from rlm_agent.models.setbacks import Setback, setback_of
from rlm_agent.store.records import StepRecord

__all__ = ["Keep", "ModelCall", "Send", "make"]

Send = Callable[[], Awaitable[AIMessage]]
Keep = Callable[[AIMessage, float], Awaitable[StepRecord]]


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What is asked, of whom, and what becomes of the reply.

    Attributes:
        send: makes one request; its failures are `ModelError`s, the provider's own exception as their cause.
        keep: records a reply, given how many seconds it took.
        tools: sent along, for the estimate only.
        limit: the caller's time limit, which stands still while the call waits its turn.
    """

    activity: Activity
    role: Literal["root", "sub"]
    model: BaseChatModel
    messages: Sequence[BaseMessage]
    send: Send
    keep: Keep
    tools: Sequence[Any] = ()
    limit: asyncio.Timeout | None = None


async def make(call: ModelCall) -> StepRecord:
    """Makes the call and returns its record.

    Raises:
        Unaffordable: it does not fit the budget; it was not sent.
        ModelError: it failed, if it was a setback as often as `Limits.sub_tries` allows.
        GraphDrained: the run is to stop.
    """
    gate, tries = call.activity.shared.gates.of(call.model), call.activity.spec.limits.sub_tries
    for tried in range(1, tries + 1):
        async with _place(call, gate):
            sent_in = gate.round
            try:
                reply, seconds = await _timed(call.send)
            except ModelError as error:
                _wait_or_raise(call, gate, error, sent_in, tries - tried)
            else:
                gate.replied(sent_in)
                with _standing_still(call.limit):  # what was paid for is recorded, however long that takes
                    return await call.keep(reply, seconds)
    raise AssertionError("the last try returns or raises")


async def _timed(send: Send) -> tuple[AIMessage, float]:
    started = time.monotonic()
    return await send(), time.monotonic() - started


@asynccontextmanager
async def _place(call: ModelCall, gate: Gate) -> AsyncIterator[None]:
    """A place among the run's calls, with the call's estimate set aside; waits for both."""
    activity, account = call.activity, call.activity.account
    estimate = set_aside(account, call.role, call.model, call.messages, call.tools)
    with _standing_still(call.limit):
        await _take_place(activity, gate)
    try:
        check_drain()
        with _standing_still(call.limit):
            while not account.reserve(call.role, estimate):
                await activity.shared.settled.wait()
                check_drain()
        try:
            yield
        finally:
            account.release(call.role, estimate)
            activity.shared.settled.ring()
    finally:
        activity.shared.slots.release()


async def _take_place(activity: Activity, gate: Gate) -> None:
    def check() -> None:
        check_drain()
        activity.account.check_seconds()

    while True:
        await gate.opened(check)
        await activity.shared.slots.acquire()
        if not gate.left:
            return
        activity.shared.slots.release()


def _wait_or_raise(call: ModelCall, gate: Gate, error: ModelError, sent_in: int, tries_left: int) -> None:
    """Closes the model's gate for a setback; raises what is none, or is not waited for."""
    limit, setback = call.activity.spec.limits.sub_tries, setback_of(error.__cause__)
    if limit == 1 or setback is None or (setback.unreachable and not gate.answered):
        raise error  # a model that was never reached has a wrong address rather than a bad moment
    if (setback.after or 0) > LONGEST:
        raise ModelError(f"{error} It asks to wait {setback.after:.0f} s, which is too long to wait for.") from error
    wait = gate.close(setback, sent_in)
    if wait is not None and (tries_left or call.role == "sub"):
        _say(call, setback, wait)
    if not tries_left:
        raise ModelError(f"{error} It was tried {limit} times.") from error.__cause__


def _say(call: ModelCall, setback: Setback, wait: float) -> None:
    until = datetime.now(UTC) + timedelta(seconds=wait)
    what, stamp = model_name(call.model), until.isoformat(timespec="milliseconds")
    call.activity.emit("waiting", who="model", what=what, until=stamp, why=setback.why)


@contextmanager
def _standing_still(limit: asyncio.Timeout | None) -> Iterator[None]:
    """The time limit does not run on inside the block."""
    when = None if limit is None else limit.when()
    if limit is None or when is None:
        yield
        return
    loop = asyncio.get_running_loop()
    left = when - loop.time()
    limit.reschedule(None)
    try:
        yield
    finally:
        limit.reschedule(loop.time() + left)
