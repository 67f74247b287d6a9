"""Draining: LangGraph's `RunControl.request_drain`, by which a host that must end asks its runs to stop.

LangGraph stops between two steps of the graph. Within a step of ours many calls may be still to be made: none of them
is begun after the request, those on their way are answered and recorded, and the run can be resumed.
"""

from langgraph.errors import GraphDrained
from langgraph.runtime import get_runtime

__all__ = ["check_drain", "drain_reason"]


def drain_reason() -> str | None:
    """Why the run that this code works for is to stop; None where it may go on."""
    control = get_runtime().control
    return control.drain_reason if control is not None and control.drain_requested else None


def check_drain() -> None:
    """Called before something is paid for.

    Raises:
        GraphDrained: the run is to stop; what is under way has been recorded by then.
    """
    if (reason := drain_reason()) is not None:
        raise GraphDrained(reason)
