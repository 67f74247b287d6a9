"""Effects: tools and host functions that act on the world, and are not to act twice because a run is gone on with.

They are marked with `metadata={"rlm": {"effect": "once"}}`. Invariant: a marked call is made only after its start is on
record; where a start is on record without an outcome, the call is not made again, and its outcome says so.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlm_agent import keys
from rlm_agent.errors import ConfigError
from rlm_agent.store.records import StepRecord

if TYPE_CHECKING:
    from rlm_agent.entries.activity import Activity

__all__ = ["acts_once", "begin"]

_NOT_AGAIN = (
    "{name!r} was started before this run was interrupted, and its outcome is not on record: it may have taken effect, "
    "or not. It is marked to act once, so it is not called again. Find out what it did before you go on."
)


def acts_once(marked: Any) -> bool:
    """Whether a tool, or a function by its attribute `metadata`, is marked to act once.

    Raises:
        ConfigError: it is marked with an effect that there is not.
    """
    metadata = getattr(marked, "metadata", None)
    marks = metadata.get("rlm") if isinstance(metadata, Mapping) else None
    effect = marks.get("effect") if isinstance(marks, Mapping) else None
    if effect not in (None, "once"):
        name = getattr(marked, "name", None) or getattr(marked, "__name__", marked)
        raise ConfigError(
            f"{name!r} is marked with the effect {effect!r}: give metadata={{'rlm': {{'effect': 'once'}}}}, or no mark."
        )
    return effect == "once"


async def begin(activity: "Activity", key: str, turn: int, name: str) -> str | None:
    """Records that a marked call starts.

    Args:
        key: of its outcome.
        turn: number of the turn that makes it.
        name: of the tool or function.

    Returns:
        None where it may be made now; else why it is not made.
    """
    started = keys.started_key(key)
    if await activity.home.read(activity.home.ledger.get, started) is not None:
        return _NOT_AGAIN.format(name=name)
    run, question = activity.run.id, activity.question.number
    await activity.record(StepRecord(started, run, question, turn, "started", "", {"name": name}, at=time.time()))
    return None
