"""The gates: before a tool of a sub-agent runs, before a batch is sent, and where the root asks a person itself.

Each puts its question together and has `human.decided` look up, record and decide. What a person is asked is made once,
off the loop where code of the host's is called. `when` that fails counts as True: nothing passes a broken gate.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlm_agent.host_functions.calling import call_user_code, wrong_arguments
from rlm_agent.human.answers import APPROVED, Decision, HumanQuestion, Pending, decided, reason
from rlm_agent.human.approvals import ASK, BATCH, BatchView, Gate
from rlm_agent.models.estimates import expected
from rlm_agent.repl.kernel import Request
from rlm_agent.sub_agents.sub_calls import PlannedCall

if TYPE_CHECKING:
    from rlm_agent.entries.activity import Activity

__all__ = ["answered", "ask_gate", "ask_human", "batch_gate", "tool_gate", "wrong_question"]

SHOWN_PROMPTS, SHOWN_CHARS = 3, 300
MOST_ASKED = 8192


async def tool_gate(activity: "Activity", turn: int, about: str, request: Any) -> Decision | Pending:
    """The decision about one tool call of a sub-agent; `request` is LangChain's `ToolCallRequest`."""
    call = request.tool_call
    gate = activity.spec.approvals.tools.get(call["name"])
    if gate is None:
        # What a person was asked before, or has decided, stands without the gate, too.
        return await decided(activity, turn, about, None) if activity.asked else APPROVED

    async def question() -> HumanQuestion | None:
        broken = await _broken_or_passed(gate, request)
        if broken is None:
            return None
        text = await _tool_text(gate, request)
        return HumanQuestion("tool", gate.name, call["args"], _joined(text, broken), gate.allowed)

    return await decided(activity, turn, about, question)


async def batch_gate(activity: "Activity", turn: int, about: str, calls: Sequence[PlannedCall]) -> Decision | Pending:
    """The decision about the new calls of a batch."""
    gate = activity.spec.approvals.batch
    if gate is None:
        # Where tools of a batch may wait for a person, it is on record that the batch was admitted.
        tools = activity.spec.approvals.tools
        return await decided(activity, turn, about, _nobody if tools else None) if tools or activity.asked else APPROVED

    async def question() -> HumanQuestion | None:
        spec = activity.spec
        estimate = expected(activity.account, [call.spec for call in calls], spec.models, spec.sub)
        view = BatchView(len(calls), estimate.tokens, estimate.usd)
        broken = await _broken_or_passed(gate, view)
        if broken is None:
            return None
        prompts = [str(call.spec["prompt"])[:SHOWN_CHARS] for call in calls[:SHOWN_PROMPTS]]
        args = {"calls": view.calls, "tokens": view.tokens, "usd": view.usd, "prompts": prompts}
        text = gate.description if isinstance(gate.description, str) else _batch_text(view)
        return HumanQuestion(BATCH, BATCH, args, _joined(text, broken), gate.allowed)

    return await decided(activity, turn, about, question)


async def _nobody() -> None:
    """Nobody need be asked, which is recorded."""


def ask_human(question: str) -> str:
    """Asks the person who runs this, and waits for the answer: minutes or days."""
    raise NotImplementedError("the host answers it")


def wrong_question(request: Request) -> str | None:
    """Why a call of `ask_human` cannot be put to a person; None where it can."""
    if (why := wrong_arguments(ask_human, request.args, request.kwargs)) is not None:
        return why
    asked = _asked(request)
    if not isinstance(asked, str) or not asked.strip():
        return "TypeError: ask_human takes a str, the question"
    if len(asked) > MOST_ASKED:
        return f"ValueError: a question has at most {MOST_ASKED} characters, this one {len(asked)}: ask for one thing"
    return None


def _asked(request: Request) -> Any:
    return request.args[0] if request.args else request.kwargs["question"]


async def ask_gate(activity: "Activity", turn: int, about: str, request: Request) -> Decision | Pending:
    """A person's answer to a question of the root's that is no `wrong_question`."""
    gate = activity.spec.approvals.ask
    assert gate is not None
    asked = _asked(request)

    async def question() -> HumanQuestion | None:
        text = gate.description if isinstance(gate.description, str) else asked
        return HumanQuestion(ASK, ASK, {"question": asked}, text, gate.allowed)

    return await decided(activity, turn, about, question)


def answered(decision: Decision) -> dict[str, Any]:
    """What `ask_human` gives: the text, or an error where the person would not answer."""
    if decision["type"] == "respond":
        return {"ok": True, "value": decision["message"]}
    return {"ok": False, "error": f"the person would not answer{reason(decision)}"}


async def _broken_or_passed(gate: Gate, subject: Any) -> str | None:
    """None where nobody need be asked; else why `when` failed, "" where it did not."""
    if gate.when is None:
        return ""
    try:
        return "" if await call_user_code(gate.when, subject) else None
    except Exception as error:  # noqa: BLE001 - whatever a host's function raises, the person hears of it
        return f"(`when` failed, so you are asked: {type(error).__name__}: {error})"


async def _tool_text(gate: Gate, request: Any) -> str:
    if isinstance(gate.description, str):
        return gate.description
    call = request.tool_call
    if gate.description is not None:
        try:
            return str(await call_user_code(gate.description, call, request.state, request.runtime))
        except Exception as error:  # noqa: BLE001 - whatever a host's function raises, the person hears of it
            return (
                f"A sub-agent wants to call {call['name']}. (Its description failed: {type(error).__name__}: {error})"
            )
    return f"A sub-agent wants to call {call['name']}."


def _batch_text(view: BatchView) -> str:
    cost = "unknown" if view.usd is None else f"about {view.usd:g} USD"
    calls = "1 sub-call" if view.calls == 1 else f"{view.calls:,} sub-calls"
    return f"The root wants to send {calls}. Tokens of the prompts: about {view.tokens:,}; cost: {cost}."


def _joined(text: str, more: str) -> str:
    return f"{text} {more}" if more else text
