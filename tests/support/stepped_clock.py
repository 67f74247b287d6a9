"""A clock for waits that takes no time: it goes on only where someone sleeps."""

import asyncio

__all__ = ["SteppedClock"]


class SteppedClock:
    """The clock.

    Attributes:
        time: seconds since it was made.
    """

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """Its seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Goes on by so much; those who wait side by side are not added up."""
        until = self.time + seconds
        await asyncio.sleep(0)
        self.time = max(self.time, until)
