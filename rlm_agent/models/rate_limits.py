"""Gates: a model that is overloaded is left alone by all calls of the run at once, for one wait.

Owns: when requests to a model may be sent again. Invariant: while a gate is closed no request of that model is sent;
requests on their way are left alone, and what they meet lengthens the wait but never adds another one to it.
Leaves to others: what is a setback (`setbacks.py`), how often one call is tried (`calls.py`).
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from langchain_core.language_models import BaseChatModel

from rlm_agent.models.chat import model_name
from rlm_agent.models.errors import base_url
from rlm_agent.models.setbacks import Setback

__all__ = ["LONGEST", "Clock", "Gate", "Gates"]

FIRST = 0.5
"""Seconds of the first wait where the provider names none; each further round without a reply doubles it."""
LONGEST_OWN = 60.0
LONGEST = 900.0
"""Seconds. A provider that asks for more is not waited for: the call fails and says so."""
SLICE = 0.25
JITTER = 0.1


class Clock(Protocol):
    """The time that waits are measured by, so that tests need no real minutes."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Returns after so many of its seconds."""


class SystemClock:
    """The real one."""

    def now(self) -> float:
        """Seconds since some moment in the past."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleeps."""
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class Gate:
    """The gate before one model.

    Attributes:
        round: how often it was closed; a call remembers the round that it was sent in.
        answered: whether the model has replied yet.
    """

    clock: Clock
    round: int = 0
    answered: bool = False
    _until: float = 0.0
    _failures: int = 0
    _jitter: float = 0.0
    _draw: Callable[[], float] = field(default=random.random)

    @property
    def left(self) -> float:
        """Seconds until it opens; 0 where it is open."""
        return max(0.0, self._until - self.clock.now())

    async def opened(self, check: Callable[[], None]) -> None:
        """Waits until it is open.

        Args:
            check: called again and again while it is closed; what it raises ends the wait.
        """
        while (left := self.left) > 0:
            check()
            await self.clock.sleep(min(left, SLICE))

    def replied(self, sent_in: int) -> None:
        """A call that was sent in that round got its reply.

        Of calls that were sent together some fail and some do not: only a round without any reply makes waits longer.
        """
        self.answered = True
        if sent_in >= self.round - 1:
            self._failures = 0

    def close(self, setback: Setback, sent_in: int) -> float | None:
        """Closes for as long as the setback asks.

        Args:
            sent_in: the round in which the call was sent that met it. Of the calls that were under way together, the
                first closes the gate; the others lengthen the wait only where their provider names a later time.

        Returns:
            Seconds until it opens, where that is news: it was open, or opens noticeably later than it was to.
        """
        first = sent_in == self.round
        if first:
            self.round += 1
            self._failures += 1
            self._jitter = JITTER * self._draw()
        elif setback.after is None:
            return None
        before, until = self._until, self.clock.now() + self._wait(setback)
        self._until = max(before, until)
        return self.left if first or until > before + 1 else None

    def _wait(self, setback: Setback) -> float:
        """A little more than what is asked for, never less: so that many processes do not come back at one instant."""
        asked = setback.after
        if asked is None:
            asked = min(LONGEST_OWN, FIRST * 2 ** min(self._failures - 1, 10))
        return asked * (1 + self._jitter)


class Gates:
    """The gates of one run's models."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._gates: dict[tuple[str, str], Gate] = {}

    def of(self, model: BaseChatModel) -> Gate:
        """The gate that all calls of this model at this address share, whatever object they are made through."""
        return self._gates.setdefault((model_name(model), base_url(model)), Gate(self._clock))
