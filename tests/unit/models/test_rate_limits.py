"""The gate before a model: one wait for all its calls, as long as the provider asks, ended by a drain."""

import asyncio

import pytest
from stepped_clock import SteppedClock

from rlm_agent.models import rate_limits
from rlm_agent.models.rate_limits import Gate, Gates
from rlm_agent.models.setbacks import Setback
from rlm_agent.testing import ScriptedModel

BUSY = Setback("rate limit (429)")


def free() -> None:
    """Nothing ends the wait."""


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


def test_all_calls_of_one_moment_wait_once_and_no_shorter_than_asked(clock: SteppedClock) -> None:
    gate = Gate(clock)
    sent_in = gate.round
    news = [gate.close(Setback("busy", 120), sent_in) for _ in range(32)]
    assert gate.round == 1
    assert news[0] is not None
    assert 120 <= news[0] <= 132
    assert sum(wait is not None for wait in news) == 1, "said once; jitter is no news"

    async def wait() -> float:
        await gate.opened(free)
        return clock.time

    async def all_wait() -> list[float]:
        return list(await asyncio.gather(*(wait() for _ in range(5))))

    assert all(120 <= at <= 132 for at in asyncio.run(all_wait()))
    assert gate.left == 0


def test_a_later_time_lengthens_the_wait(clock: SteppedClock) -> None:
    gate = Gate(clock, _draw=lambda: 0.0)
    assert gate.close(Setback("busy", 2), 0) == 2
    assert gate.close(BUSY, 0) is None
    assert gate.close(Setback("busy", 1), 0) is None
    assert gate.close(Setback("busy", 60), 0) == 60
    assert gate.left == 60


def test_without_a_time_waits_double_until_a_reply(clock: SteppedClock) -> None:
    gate = Gate(clock, _draw=lambda: 0.0)
    waits = []
    for _ in range(9):
        waits.append(gate.close(BUSY, gate.round))
        clock.time += 1000
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    gate.replied(gate.round - 2)
    assert gate.close(BUSY, gate.round) == 60, "a reply to a call of long ago says nothing"
    clock.time += 1000
    gate.replied(gate.round - 1)
    assert gate.close(BUSY, gate.round) == 0.5, "others that were sent with it were answered"


def test_jitter_never_shortens(clock: SteppedClock) -> None:
    waits = {Gate(clock).close(Setback("busy", 10), 0) for _ in range(50)}
    assert len(waits) > 10
    assert all(wait is not None and 10 <= wait <= 11 for wait in waits)


def test_a_drain_ends_the_wait(clock: SteppedClock) -> None:
    class Drained(Exception):
        pass

    def drained() -> None:
        if clock.time > 1:
            raise Drained

    gate = Gate(clock)
    gate.close(Setback("busy", 500), 0)
    with pytest.raises(Drained):
        asyncio.run(gate.opened(drained))
    assert clock.time < 2


def test_models_of_one_name_and_address_share_a_gate() -> None:
    gates = Gates()
    one, same, other = (ScriptedModel(model_name=name) for name in ("a", "a", "b"))
    assert gates.of(one) is gates.of(same)
    assert gates.of(one) is not gates.of(other)


def test_a_cancellation_ends_the_wait_at_once() -> None:
    async def cancelled() -> float:
        gate, loop = Gate(rate_limits.SystemClock()), asyncio.get_running_loop()
        gate.close(Setback("busy", 60), 0)
        started = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await gate.opened(free)
        return loop.time() - started

    assert asyncio.run(cancelled()) < 1
