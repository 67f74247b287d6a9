"""A person's word: what is asked, what the answer may be, and the two records that a question leaves in the ledger.

Invariant: whether a person is asked is decided once and recorded with the whole question; the answer is recorded before
anything depends on it. Both are found again by the key of what they are about, in any process, at any time.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rlm_agent import keys
from rlm_agent.errors import ConfigError
from rlm_agent.store.records import StepRecord

if TYPE_CHECKING:
    from rlm_agent.entries.activity import Activity

__all__ = [
    "APPROVED",
    "Decision",
    "HumanQuestion",
    "Pending",
    "WaitsForPerson",
    "decided",
    "human_step",
    "read_decision",
    "reason",
]

Decision = Mapping[str, Any]
APPROVED: Decision = {"type": "approve"}


@dataclass(frozen=True, slots=True)
class HumanQuestion:
    """What a person is asked.

    Attributes:
        what: "tool", "llm_batch" or "ask_human".
        name: of the tool, or the same as `what`.
        args: of the call; of a batch: calls, tokens, usd, prompts (the first few, cut).
        description: what the person reads.
        allowed: decisions that may be made.
    """

    what: str
    name: str
    args: Mapping[str, Any]
    description: str
    allowed: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return {**asdict(self), "allowed": list(self.allowed)}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "HumanQuestion":
        """The inverse of `plain`."""
        return cls(**{**data, "allowed": tuple(data["allowed"])})

    def payload(self, key: str) -> dict[str, Any]:
        """The value of the interrupt: LangChain's `HITLRequest` of one action, with what it is about and its key."""
        action = {"name": self.name, "args": _storable(self.args), "description": _storable(self.description)}
        review = {"action_name": self.name, "allowed_decisions": list(self.allowed)}
        return {"action_requests": [action], "review_configs": [review], "what": self.what, "id": key}


def _storable(value: Any) -> Any:
    """The value as every saver can store it: no lone surrogates, integers above 64 bits as text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return str(value) if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63 else value


@dataclass(frozen=True, slots=True)
class Pending:
    """A person is asked and has not answered. `key` is that of the answer."""

    key: str


class WaitsForPerson(Exception):
    """Calls of a model turn wait for a person; the turn's other calls have run to their end. `keys`: of the answers."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__("a person is asked first")
        self.keys = keys


def read_decision(answer: Any, payload: Mapping[str, Any]) -> Decision:
    """What a person's answer to an interrupt decides.

    Args:
        answer: a decision, {"decisions": [it]} as LangChain has it, or, where a text is asked for, the text.
        payload: the interrupt's value.

    Raises:
        ConfigError: it is none of the allowed decisions; the interrupt can be answered again.
    """
    action, review = payload["action_requests"][0], payload["review_configs"][0]
    name, allowed = action["name"], review["allowed_decisions"]
    decision = _one(answer, allowed)
    kind = decision.get("type") if isinstance(decision, Mapping) else None
    if kind not in allowed:
        raise ConfigError(_advice(name, allowed, answer))
    message = decision.get("message")
    if not isinstance(message, str | None) or (kind == "respond" and message is None):
        raise ConfigError(f"{name!r}: 'message' takes a text. {_advice(name, allowed, answer)}")
    if kind == "edit":
        return {"type": kind, "edited_action": _edited(name, decision.get("edited_action"))}
    return {"type": kind} if message is None else {"type": kind, "message": message}


def _one(answer: Any, allowed: list[str]) -> Any:
    if isinstance(answer, Mapping) and isinstance(answer.get("decisions"), list) and len(answer["decisions"]) == 1:
        return answer["decisions"][0]
    if isinstance(answer, str) and "respond" in allowed and "approve" not in allowed:
        return {"type": "respond", "message": answer}
    return answer


def _edited(name: str, action: Any) -> dict[str, Any]:
    args = action.get("args") if isinstance(action, Mapping) else None
    if not isinstance(args, Mapping) or action.get("name", name) != name:
        raise ConfigError(
            f"{name!r}: an edit keeps the tool and changes its arguments; give {{'type': 'edit', "
            f"'edited_action': {{'name': {name!r}, 'args': {{...}}}}}}. Nothing was lost: answer again."
        )
    return {"name": name, "args": dict(args)}


_FORMS = {
    "approve": "{'type': 'approve'}",
    "edit": "{'type': 'edit', 'edited_action': {'name': ..., 'args': {...}}}",
    "reject": "{'type': 'reject', 'message': 'why'}",
    "respond": "{'type': 'respond', 'message': 'text'}",
}


def _advice(name: str, allowed: list[str], answer: Any) -> str:
    forms = " or ".join(_FORMS[kind] for kind in allowed)
    return f"{answer!r:.200} does not answer what waits for {name!r}: give {forms}. Nothing was lost: answer again."


def reason(decision: Decision) -> str:
    """Why a person rejected, as the model reads it at the end of a sentence; "" where none was given."""
    return f": {decision['message']}" if decision.get("message") else ""


async def decided(
    activity: "Activity",
    turn: int,
    about: str,
    question: Callable[[], Awaitable[HumanQuestion | None]] | None,
) -> Decision | Pending:
    """A person's decision, or that nobody need be asked.

    Args:
        activity: of the run.
        turn: number of the turn.
        about: key of what it is about: a tool's result, a batch, a call of `ask_human`.
        question: gives what a person is asked, or None where nobody is; called once, what it gives is recorded. Without
            it nobody is asked anew, and nothing is recorded.

    Returns:
        The decision, {"type": "approve"} where nobody is asked; `Pending` until a person has answered.
    """
    answer = keys.human_key(about)
    asked = keys.asked_key(answer)
    found = await activity.home.read(activity.home.ledger.get_many, [answer, asked])
    if answer in found:
        return dict(found[answer].body["decision"])
    step = found.get(asked)
    if step is None:
        if question is None:
            return APPROVED
        put = await question()
        step = await activity.record(human_step(activity, turn, asked, {"asked": put.plain() if put else None}))
    return APPROVED if step.body["asked"] is None else Pending(answer)


def human_step(activity: "Activity", turn: int, key: str, body: dict[str, Any]) -> StepRecord:
    """A ledger row about a person's word: {"asked"}, the question or None where nobody is asked, or {"decision"}."""
    return StepRecord(key, activity.run.id, activity.question.number, turn, "human", "", body, at=time.time())
