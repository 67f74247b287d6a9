"""approve: puts one question to a person by an interrupt, and records the answer.

A task raises one interrupt at a time, so that each question has a task of its own. It is run again from its start at
each resume: the ledger comes first.
"""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.types import interrupt
from pydantic import AfterValidator

from rlm_agent import keys
from rlm_agent.entries.activity import Activity
from rlm_agent.human.answers import Decision, HumanQuestion, human_step, read_decision

__all__ = ["approve"]


async def approve(activity: Activity, state: Mapping[str, Any], config: RunnableConfig) -> None:
    """The node. Its input is {"rlm_run", "rlm_turn", "rlm_human"}: the last one is the key of the answer.

    Raises:
        ConfigError: the answer is none that the question allows; it can be answered again.
    """
    await activity.attach_state(state)
    key = state["rlm_human"]
    asked = keys.asked_key(key)
    found = await activity.home.read(activity.home.ledger.get_many, [key, asked])
    if key in found or asked not in found:
        return
    payload = HumanQuestion.from_plain(found[asked].body["asked"]).payload(key)
    decision = _answer(activity, payload)
    await activity.record(human_step(activity, state["rlm_turn"], key, {"decision": decision}))


def _answer(activity: Activity, payload: dict[str, Any]) -> Decision:
    """The person's decision, or LangGraph's interrupt, which is told as an event.

    It is read within `interrupt`, since LangGraph keeps an answer for the task once that has returned.
    """
    shape: Any = Annotated[Any, AfterValidator(lambda answer: read_decision(answer, payload))]
    try:
        return cast("Decision", interrupt(payload, response_schema=shape))
    except GraphInterrupt as raised:
        id_ = raised.args[0][0].id
        activity.emit("waiting", who="human", what=payload["what"], id=id_, request=payload)
        raise
