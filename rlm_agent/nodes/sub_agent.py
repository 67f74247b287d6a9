"""sub_agent: performs one chunk of sub-calls, side by side; what each answered goes to the ledger, not to the state.

When the run is to stop, calls that are not begun are left out: LangGraph ends the run before anyone asks for them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained

from rlm_agent.entries.activity import Activity
from rlm_agent.store.plain import unpack
from rlm_agent.sub_agents.performing import perform

__all__ = ["sub_agent"]


async def sub_agent(activity: Activity, state: Mapping[str, Any], config: RunnableConfig) -> None:
    """The node. Its input is {"rlm_run", "rlm_turn", "rlm_chunk"}: where the chunk's calls are kept."""
    await activity.attach_state(state)
    home = activity.home
    if not await home.read(home.blobs.has, state["rlm_chunk"]):
        return  # an old checkpoint was entered, and `rlm gc` freed the chunk: execute_repl names it anew
    calls = unpack(await home.read(home.blobs.get, state["rlm_chunk"]))
    known = await home.read(home.ledger.get_many, [call["key"] for call in calls])
    activity.results.update({key: step.body for key, step in known.items()})
    try:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(_one(activity, call, state["rlm_turn"], config))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


def _answerer(call: Mapping[str, Any]) -> Callable[..., Awaitable[None]]:
    if call.get("kind") != "rlm":
        return perform
    from rlm_agent.children.perform import perform_child  # few agents have children

    return perform_child


async def _one(activity: Activity, call: Mapping[str, Any], turn: int, config: RunnableConfig) -> None:
    if call["key"] not in activity.results:
        try:
            await _answerer(call)(activity, call["key"], call["spec"], turn, config)
        except GraphDrained:
            return
    if call["key"] in activity.humans:
        return
    body = activity.results[call["key"]]
    activity.emit("sub_agent.finished", index=call["index"], ok=body["ok"], error=body["error"], usage=body["usage"])
