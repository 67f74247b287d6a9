"""The contexts of `rlm()` calls: what a cell gave becomes a corpus of the home, which the call names from then on.

Invariant: what a cell gave is a value, never a source: no path or address in it is opened. The same value is the same
corpus, so that a cell that runs again names what it named before. What all of an entry hold together is bounded.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlm_agent.errors import ConfigError
from rlm_agent.repl.kernel import Request

if TYPE_CHECKING:
    from rlm_agent.entries.activity import Activity

__all__ = ["with_contexts"]


async def with_contexts(activity: "Activity", request: Request) -> Request:
    """The request with the handle of a corpus as the context of each call that has one.

    Where a value can be no context, a text that says why stands in its place.
    """
    if request.kind != "rlm":
        return request
    stored: dict[int, Mapping[str, Any] | str] = {}
    for call in request.calls if activity.spec.children else ():
        value = call.get("context")
        if value is not None and id(value) not in stored:
            stored[id(value)] = await _stored(activity, value)
    own = activity.question.context
    return replace(request, calls=tuple(_named(call, stored, own) for call in request.calls))


async def _stored(activity: "Activity", value: Any) -> Mapping[str, Any] | str:
    home, kept, most = activity.home, activity.shared.contexts, activity.spec.limits.disk_mb
    if sum(kept.values()) >= most << 20:
        return f"context: the contexts of this run's children hold disk_mb={most} MB, which is all that they may"
    try:
        handle = await home.read(home.corpora.put_value, value, None)
    except ConfigError as error:
        return f"context: {error}"
    kept[handle["digest"]] = handle["bytes"]
    return handle


def _named(
    call: Mapping[str, Any], stored: Mapping[int, Mapping[str, Any] | str], own: Mapping[str, Any] | None
) -> dict[str, Any]:
    named = {name: value for name, value in call.items() if name not in ("context", "same_context")}
    context = own if call.get("same_context") is True else stored.get(id(call.get("context")))
    return named if context is None else {**named, "context": context}
