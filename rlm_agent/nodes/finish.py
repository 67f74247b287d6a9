"""finish: the question's end, whatever ended it. Records the result, then returns it; the content may be partial."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import RunnableConfig

from rlm_agent import keys
from rlm_agent.crash_points import reach
from rlm_agent.entries.activity import Activity
from rlm_agent.state import Step
from rlm_agent.turns.answers import answer_content, answer_text

__all__ = ["finish"]

RAISE = {
    "turns": "Budget(turns=...)",
    "budget": "Budget(...)",
    "malformed": "Limits(malformed=...)",
    "timeout": "timeout= of the rlm() call",
    "recursion_limit": 'Budget(turns=...), or the "recursion_limit" of the config',
}


async def finish(activity: Activity, state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
    """The node."""
    await activity.attach_state(state)
    step: Step = state["rlm_step"]
    question = activity.question
    if step.get("recorded") and question.result is not None:
        result = question.result
    else:
        await activity.load_chain(state.get("rlm_head"))
        await activity.settle()
        result = await _conclude(activity, step["stopped_by"])
    activity.emit("run.finished", stopped_by=result["rlm"]["stopped_by"], ready=result["rlm"]["ready"])
    head = {"rlm_head": activity.chain[-1].id} if activity.chain else {}
    return {**head, **_output(activity, result)}


async def _conclude(activity: Activity, stopped_by: str) -> dict[str, Any]:
    """Makes and records the result: plain JSON, so that it can be given back years later."""
    own = [turn for turn in activity.chain if turn.question == activity.question.number]
    content = await answer_content(activity.home, own[-1].answer) if own else ""
    ready = stopped_by == "ready"
    result = {
        "text": answer_text(content) or _no_answer(stopped_by, len(own)),
        "rlm": {
            "content": content,
            "ready": ready,
            "stopped_by": stopped_by,
            "usage": await activity.usage(),
            "run": activity.run.id,
            "turns": len(own),
            "durable": activity.entry.durable,
        },
    }
    if (line := _how_to_go_on(activity, stopped_by)) is not None:
        result["rlm"]["raise"] = line  # type: ignore[index]
    reach("result.before")
    await activity.home.runs.set_question(
        activity.run.id,
        activity.question.number,
        activity.fence,
        status="answered" if ready else "stopped",
        stopped_by=stopped_by,
        result=result,
        active_seconds=activity.account.seconds,
    )
    reach("result.written")
    return result


def _how_to_go_on(activity: Activity, stopped_by: str) -> str | None:
    if stopped_by == "ready":
        return None
    what = RAISE[stopped_by]
    if stopped_by == "budget":
        bound = activity.account.exhausted("root", 0) or activity.account.denied
        what = f"Budget({bound}=...)" if bound else what
    return f"stopped by {stopped_by}; raise {what} and invoke the thread again with None to go on"


def _no_answer(stopped_by: str, turns: int) -> str:
    return f"(no answer: the run was stopped by {stopped_by} after {turns} turns, before it wrote any content)"


def _output(activity: Activity, result: Mapping[str, Any]) -> dict[str, Any]:
    run, question = activity.run.id, activity.question.number
    total = result["rlm"]["usage"]["total"]
    tokens = UsageMetadata(
        input_tokens=total["input_tokens"],
        output_tokens=total["output_tokens"],
        total_tokens=total["input_tokens"] + total["output_tokens"],
    )
    message = AIMessage(
        content=result["text"],
        name=activity.spec.name,
        id=keys.digest("final", run, question)[:32],
        usage_metadata=tokens,
    )
    return {"messages": [message], "structured_response": _structured(activity, result), "rlm": dict(result["rlm"])}


def _structured(activity: Activity, result: Mapping[str, Any]) -> Any:
    response = activity.spec.response
    if response is None or not result["rlm"]["ready"]:
        return None
    return response.parse(result["rlm"]["content"])[0]
