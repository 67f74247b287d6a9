"""What a run and its children work on together: places for their calls, gates of their models, the bell of the account.

Belongs to one entry, and to its event loop.
"""

import asyncio

from rlm_agent.models.rate_limits import Gates
from rlm_agent.settings import Limits

__all__ = ["MOST_CHILDREN", "Bell", "Shared"]

MOST_CHILDREN = 8
"""Children at work at once at each depth: each has a REPL worker."""


class Bell:
    """Many wait for it, and ringing it wakes those who wait by then."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Waits until it is rung the next time."""
        await self._event.wait()

    def ring(self) -> None:
        """Wakes all who wait."""
        self._event.set()
        self._event = asyncio.Event()


class Shared:
    """Attributes:
    slots: places for model calls, `Limits.concurrency` of them.
    agents: places for sub-agents with tools.
    gates: what keeps calls from a model that is overloaded.
    settled: rung whenever a call gives back what was set aside for it.
    contexts: bytes of the contexts that cells gave to children, by digest.
    """

    def __init__(self, limits: Limits) -> None:
        self.slots = asyncio.Semaphore(limits.concurrency)
        self.agents = asyncio.Semaphore(limits.concurrency)
        self.gates, self.settled = Gates(), Bell()
        self.contexts: dict[str, int] = {}
        self._children: dict[int, asyncio.Semaphore] = {}

    def children(self, depth: int) -> asyncio.Semaphore:
        """Places for children of runs at a depth: each depth has its own, so that none waits for those above it."""
        return self._children.setdefault(depth, asyncio.Semaphore(MOST_CHILDREN))
