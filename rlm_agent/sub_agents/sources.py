"""What the tools of a run have read: the sources of a slot, and the addresses that the run may open because of them.

Invariant: both follow from recorded tool results alone (their artifacts, see `tool_scope.py`) and from what the user
gave, so that a resumed or forked run has the same.
"""

from collections.abc import Iterable
from typing import Any

from rlm_agent.entries.activity import Activity
from rlm_agent.store.home import Home
from rlm_agent.tool_scope import ToolScope
from rlm_agent.web_addresses import WebAddresses, user_texts

__all__ = ["MOST_SOURCES", "open_to", "scope_of", "sources_in"]

MOST_SOURCES = 200
"""Sources of one slot; those that were read later are left out."""


def sources_in(artifacts: Iterable[Any]) -> list[dict[str, Any]]:
    """The sources that tools returned, in the order in which the tools were called, each content of a place once."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for artifact in artifacts:
        named = artifact.get("sources") if isinstance(artifact, dict) else None
        for source in named if isinstance(named, list) else ():
            if isinstance(source, dict) and ("url" in source or "path" in source):
                found.setdefault(tuple(repr(source.get(name)) for name in ("url", "path", "sha256")), source)
    return list(found.values())[:MOST_SOURCES]


async def open_to(activity: Activity) -> WebAddresses:
    """What the tools of a run may open: read from the home at first, then it grows with what they return.

    A child's tools may open what its parent's may: what a child is asked was written by a model.
    """
    activity = activity.top
    if activity.addresses is None:
        read = await activity.home.read(_recorded, activity.home, activity.run.id)
        read.add_texts([activity.spec.system_prompt])
        if activity.addresses is None:
            activity.addresses = read
    activity.addresses.add_texts(note.text for note in activity.notes)
    return activity.addresses


async def scope_of(activity: Activity) -> ToolScope:
    """Where host functions and checks of a run stand: as the tools of its sub-agents do."""
    run, home = activity.top.run.id, activity.home
    return ToolScope(run, home, await open_to(activity)) if activity.top.spec.tools else ToolScope(run, home)


def _recorded(home: Home, run: str) -> WebAddresses:
    """The addresses in what the user asked, and in what recorded tools returned; blocks."""
    addresses = WebAddresses()
    for question in home.runs.questions(run):
        addresses.add_texts(user_texts(question.message["content"], question.earlier))
    for step in home.ledger.reached(run, "tool"):
        addresses.add_artifact(step.body["message"]["data"].get("artifact"))
    return addresses
