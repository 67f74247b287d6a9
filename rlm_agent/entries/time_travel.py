"""LangGraph's time travel: an entry at an older checkpoint of a run.

The run is made to stand where that checkpoint stood: at its turn, with its variables. What was asked there is answered
from the record, anything else is a new question.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from rlm_agent.entries.activity import Activity
from rlm_agent.entries.questions import Asked, give_recorded, is_equal, next_question, reopen
from rlm_agent.store.records import QuestionRecord, RunRecord, TurnRecord

__all__ = ["go_back", "goes_back"]


async def goes_back(
    activity: Activity, asked: Asked, state: Mapping[str, Any], run: RunRecord, question: QuestionRecord
) -> bool:
    """Whether a checkpoint of this run stands at another question or turn than the run, or brings no new message."""
    assert asked.message is not None
    named = state.get("rlm_run") or {"run": run.id, "question": None}
    head = await activity.home.read(activity.home.turns.head, run.id)
    stands_at = (question.number, None if head is None else head.id)
    elsewhere = (named["question"], state.get("rlm_head")) != stands_at
    return named["run"] == run.id and (elsewhere or asked.message.id == question.message["id"])


async def go_back(activity: Activity, asked: Asked, run: RunRecord, head: str | None) -> dict[str, Any]:
    """Makes the run stand at an older turn, and takes up what is asked there."""
    home = activity.home
    turn = None if head is None else await home.read(home.turns.get, head)
    questions = await home.read(home.runs.questions, run.id)
    again = [question for question in questions if _is_again(asked, question, turn)]
    if again:
        await home.runs.stand(run.id, again[-1].number, head, activity.fence)
        return await _take_up(activity, run, again[-1], turn, asked.messages)
    before = None if turn is None else await home.read(home.runs.question, run.id, turn.question)
    await home.runs.stand(run.id, None, head, activity.fence)
    return await next_question(activity, asked, run, before)


def _is_again(asked: Asked, question: QuestionRecord, turn: TurnRecord | None) -> bool:
    """Whether a question is what was asked at this turn: as a new input, or by going on with it."""
    if question.parent == (None if turn is None else turn.id):
        return is_equal(asked, question)
    assert asked.message is not None
    return turn is not None and turn.question == question.number and question.message["id"] == asked.message.id


async def _take_up(
    activity: Activity,
    run: RunRecord,
    question: QuestionRecord,
    turn: TurnRecord | None,
    messages: Sequence[BaseMessage],
) -> dict[str, Any]:
    """Goes on with a question from a turn of its own, unless that is the one that answered it."""
    own = turn is not None and turn.question == question.number
    if question.status == "answered" and turn is not None and own and turn.answer["ready"]:
        return await give_recorded(activity, run, question, messages)
    return await reopen(activity, run, question, messages)
