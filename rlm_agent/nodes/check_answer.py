"""check_answer: entered when `ready` was set. A complaint is recorded and read by the root at its next turn."""

import time
from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig

from rlm_agent import keys
from rlm_agent.entries.activity import Activity
from rlm_agent.host_functions.calling import call_user_code
from rlm_agent.state import Step
from rlm_agent.store.records import StepRecord
from rlm_agent.sub_agents.sources import scope_of
from rlm_agent.tool_scope import in_scope
from rlm_agent.turns.answers import answer_content

__all__ = ["check_answer"]


async def check_answer(activity: Activity, state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
    """The node."""
    await activity.attach_state(state)
    await activity.load_chain(state.get("rlm_head"))
    turn = activity.chain[-1]
    home, key = activity.home, keys.check_key(turn.lineage)
    step = await home.read(home.ledger.get, key)
    if step is None:
        content = await answer_content(home, turn.answer)
        body = {"complaint": await _complaint(activity, content)}
        run, question = activity.run.id, activity.question.number
        step = await activity.record(StepRecord(key, run, question, turn.number, "check", "", body, at=time.time()))
    if step.body["complaint"] is None:
        return {"rlm_step": Step(phase="finish", stopped_by="ready")}
    activity.complaints[turn.lineage] = step.body["complaint"]
    return {"rlm_step": Step(phase="generate")}


async def _complaint(activity: Activity, content: Any) -> str | None:
    """What is wrong with the answer, or None: empty, not of the response format, or refused by `check`."""
    if content in ("", None):
        return "answer['ready'] was set but answer['content'] is empty."
    response, check = activity.spec.response, activity.spec.check
    if response is not None and (complaint := response.parse(content)[1]) is not None:
        return f"answer['content'] does not match the response format: {complaint}"
    if check is None:
        return None
    try:
        with in_scope(await scope_of(activity)):
            complaint = await call_user_code(check, content)
    except Exception as error:  # noqa: BLE001 - a check that fails says no more than that it could not check
        complaint = f"the check failed with {type(error).__name__}: {error}"
    return None if complaint is None else str(complaint)
