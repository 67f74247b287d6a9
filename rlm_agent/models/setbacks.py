"""Setbacks: failures of a model call that pass by themselves, and how long the provider asks to wait.

Owns: telling them from failures that another try only repeats. Read by shape, as in `errors.py`; pure but for the
clock that an HTTP date is compared with. What is done about one is `rate_limits.py`'s.
"""

import math
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from rlm_agent.models.errors import cannot_connect, connection_trouble, status_of

__all__ = ["Setback", "setback_of"]

_PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})
_REASONS = {408: "timed out", 429: "rate limit", 503: "overloaded", 529: "overloaded"}
# A quota of money is no rate: it is as empty in a minute as it is now.
_LASTING = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


@dataclass(frozen=True, slots=True)
class Setback:
    """A failure that passes.

    Attributes:
        why: in a few words, for people.
        after: seconds that the provider asks to wait; None where it names none.
        unreachable: no connection could be made at all.
    """

    why: str
    after: float | None = None
    unreachable: bool = False


def setback_of(error: BaseException | None) -> Setback | None:
    """The setback that an exception of a provider is; None where waiting does not help.

    A connection error of Python's own kind, that no HTTP client has made its own, is none: nobody knows what it is of.
    """
    if error is None or type(error).__module__ == "builtins":
        return None
    status = status_of(error)
    if status is None:
        trouble = connection_trouble(error)
        return Setback(trouble.partition(":")[0], unreachable=cannot_connect(error)) if trouble else None
    if status not in _PASSING or _LASTING & {str(getattr(error, name, None)) for name in ("code", "type")}:
        return None
    return Setback(f"{_REASONS.get(status, 'the server failed')} ({status})", _asked_to_wait(error))


def _asked_to_wait(error: BaseException) -> float | None:
    """Seconds by the headers `Retry-After-Ms` and `Retry-After` (RFC 9110, 10.2.3: seconds or a date)."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    for name, parse in (("retry-after-ms", _milliseconds), ("retry-after", _seconds), ("retry-after", _until)):
        try:
            seconds = parse(str(headers[name]))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _milliseconds(text: str) -> float:
    return float(text) / 1000


def _seconds(text: str) -> float:
    return float(text)


def _until(text: str) -> float:
    return parsedate_to_datetime(text).timestamp() - time.time()
