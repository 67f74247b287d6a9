"""The id of a turn: a digest of all else in its record."""

from collections.abc import Mapping
from typing import Any

from rlm_agent.store.plain import canonical, digest

__all__ = ["turn_id"]


def turn_id(plain: Mapping[str, Any]) -> str:
    """64 hexadecimal digits for a turn as `TurnRecord.plain()` gives it, or as it is stored."""
    return digest(canonical({name: value for name, value in plain.items() if name != "id"}))
