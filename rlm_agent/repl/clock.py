"""Clock: what a cell reads of the time, so that a cell that runs again reads the same.

Readings since the last request travel with the next one, and with the end of the cell; the host records them and hands
them back when the cell is replayed. Invariant: in each stretch between two requests a replay reads what was read then,
reading by reading, and after that the real clock. The real clock, unrecorded, is read outside of cells, in children
that a cell forks, and beyond MOST_READINGS in one stretch. `time.monotonic` and its like are real at all times, and so
is what native code asks of the system itself (`numpy.datetime64("now")`).
"""

import datetime
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Sequence
from time import struct_time
from typing import Any

from rlm_agent.repl.kernel import MOST_READINGS
from rlm_agent.repl.stand_in import ClassStandIn, StandIn

__all__ = ["Clock"]

_real = time.time_ns
_localtime, _gmtime, _strftime, _ctime, _asctime = time.localtime, time.gmtime, time.strftime, time.ctime, time.asctime
_clock, _clock_ns = time.clock_gettime, time.clock_gettime_ns

SECOND = 1_000_000_000
UTCNOW = """datetime.datetime.utcnow() is deprecated and scheduled for removal in a future version. Use timezone-aware \
objects to represent datetimes in UTC: datetime.datetime.now(datetime.UTC)."""


class Clock:
    """The clock of one worker; readings are nanoseconds since the epoch."""

    def __init__(self) -> None:
        self._running = False
        self._recorded: deque[int] = deque()
        self._read: list[int] = []

    def begin(self, recorded: Sequence[int]) -> None:
        """A cell begins.

        Args:
            recorded: what it read up to its first request when it ran before.
        """
        self._recorded, self._read, self._running = deque(recorded), [], True

    def refill(self, recorded: Sequence[int]) -> None:
        """A request is answered: what was read after it, when the cell ran before."""
        self._recorded = deque(recorded)

    def take(self) -> list[int]:
        """What was read since the last call."""
        taken, self._read = self._read, []
        return taken[:MOST_READINGS]

    def put_back(self, readings: list[int]) -> None:
        """What was taken was not sent after all."""
        self._read = readings + self._read

    def end(self) -> list[int]:
        """The cell is over. Returns what was read since the last request."""
        self._running = False
        return self.take()

    def now(self) -> int:
        """One reading."""
        if not self._running:
            return _real()
        try:
            reading = self._recorded.popleft()
        except IndexError:
            reading = _real()
        if len(self._read) < MOST_READINGS:
            self._read.append(reading)
        return reading

    # The functions of `time`, as far as they ask for the time of day.

    def time(self) -> float:
        return self.now() / 1e9

    def localtime(self, seconds: float | None = None, /) -> struct_time:
        return _localtime(self._seconds(seconds))

    def gmtime(self, seconds: float | None = None, /) -> struct_time:
        return _gmtime(self._seconds(seconds))

    def ctime(self, seconds: float | None = None, /) -> str:
        return _ctime(self._seconds(seconds))

    def asctime(self, *given: Any) -> str:
        return _asctime(*(given or (self.localtime(),)))

    def strftime(self, *given: Any) -> str:
        return _strftime(*(given if len(given) != 1 else (*given, self.localtime())))

    def clock_gettime(self, clock: int, /) -> float:
        return self.time() if clock == time.CLOCK_REALTIME else _clock(clock)

    def clock_gettime_ns(self, clock: int, /) -> int:
        return self.now() if clock == time.CLOCK_REALTIME else _clock_ns(clock)

    def _seconds(self, seconds: float | None) -> float:
        return self.now() // SECOND if seconds is None else seconds

    def install(self) -> None:
        """Makes it the clock of this process, which must be a worker's."""
        StandIn.install(time, "time_ns", self.now)
        for name in (
            "time",
            "localtime",
            "gmtime",
            "ctime",
            "asctime",
            "strftime",
            "clock_gettime",
            "clock_gettime_ns",
        ):
            StandIn.install(time, name, getattr(self, name))
        # `today` of date and datetime asks `time.time`.
        ClassStandIn.install(datetime.datetime, "now", self._now)
        ClassStandIn.install(datetime.datetime, "utcnow", self._utcnow)
        os.register_at_fork(after_in_child=self.end)

    def _now(self, kind: Any, tz: Any = None) -> Any:
        # To the microsecond, which a float of seconds still holds.
        return kind.fromtimestamp(self.now() // 1000 / 1e6, tz)

    def _utcnow(self, kind: Any) -> Any:
        if sys.version_info >= (3, 12):
            warnings.warn(UTCNOW, DeprecationWarning, stacklevel=3)
        return self._now(kind, datetime.UTC).replace(tzinfo=None)
