"""The channels of the graph.

Invariant: the checkpointed state holds references and small records only. `messages`, `structured_response` and `rlm`
are the output; every other channel begins with `rlm_` and is in neither the input nor the output schema, so that a
parent's own keys are never touched. The input key's channel is never checkpointed.
"""

from typing import Annotated, Any, TypedDict

from langchain_core.messages import AnyMessage
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.graph.message import add_messages
from langgraph.managed import RemainingSteps

__all__ = ["PRIVATE_CHANNELS", "Schemas", "Step", "schemas"]

PRIVATE_CHANNELS = {"rlm_run": dict, "rlm_head": str | None, "rlm_step": dict, "rlm_remaining": RemainingSteps}


class Step(TypedDict, total=False):
    """`rlm_step`: where the question stands between two nodes.

    Attributes:
        phase: the node that comes next: "generate", "execute", "check" or "finish".
        turn: number of the turn that is written or run.
        before: lineage that the turn's reply descends from.
        reply: ledger key of the reply that is acted on.
        false_starts: ledger keys of the replies without code before it.
        chunks: blob keys of the sub-calls that the cell waits for; empty when it waits for none.
        humans: ledger keys of the answers that it waits for from a person; empty where it waits for none.
        stopped_by: why the question ends, for "finish".
        recorded: True when the question's recorded result is only given back.
    """

    phase: str
    turn: int
    before: str
    reply: str
    false_starts: list[str]
    chunks: list[str]
    humans: list[str]
    stopped_by: str
    recorded: bool


class Schemas(TypedDict):
    """The three schemas of one agent."""

    state: type
    input: type
    output: type


def schemas(input_key: str | None, response_type: Any) -> Schemas:
    """Builds the schemas for one agent's input key and type of structured response."""
    messages = Annotated[list[AnyMessage], add_messages]
    context = {} if input_key is None else {input_key: Annotated[Any, UntrackedValue(Any, guard=False)]}
    output: dict[str, Any] = {"messages": messages, "structured_response": response_type, "rlm": dict}
    return {
        "state": _typed("RLMState", {**output, **context, **PRIVATE_CHANNELS}),
        "input": _typed("RLMInput", {"messages": messages, **context}),
        "output": _typed("RLMOutput", output),
    }


def _typed(name: str, channels: dict[str, Any]) -> type:
    return TypedDict(name, channels, total=False)  # type: ignore[operator, no-any-return]
