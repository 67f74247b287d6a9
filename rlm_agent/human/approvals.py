"""What of a run needs a person's word first: `interrupt_on`, checked and resolved; `over`, for batches. Pure functions.

The shape is LangChain's (`HumanInTheLoopMiddleware`): a name -> True, False or an `InterruptOnConfig`. How a person is
asked and what becomes of the answer is `answers.py`'s.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlm_agent.errors import ConfigError

__all__ = ["ASK", "BATCH", "Approvals", "BatchView", "Gate", "over", "resolve_approvals"]

BATCH, ASK = "llm_batch", "ask_human"

_TOOL_DECISIONS = ("approve", "edit", "reject", "respond")
_DECISIONS = {BATCH: ("approve", "reject"), ASK: ("respond", "reject")}
_FIELDS = ("allowed_decisions", "description", "when", "args_schema")


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch of sub-calls that is about to be sent, as `when` sees it.

    Attributes:
        calls: how many are new; those on record are not sent.
        tokens: estimate of their prompts, a token for four characters, and of one usual reply each.
        usd: estimate of what that costs; None where the price of a model is unknown.
    """

    calls: int
    tokens: int
    usd: float | None


def over(*, calls: int | None = None, usd: float | None = None) -> Callable[[BatchView], bool]:
    """`when` of "llm_batch": a person is asked where a batch has more calls, or is estimated to cost more.

    Args:
        calls: ask for batches of more than so many calls.
        usd: ask for batches above this estimate, and for those whose price is unknown.

    Raises:
        ConfigError: no bound is given, or one is no number of 0 or more.
    """
    bounds = {"calls": calls, "usd": usd}
    if not any(value is not None for value in bounds.values()):
        raise ConfigError("over(): give calls=100, usd=5 or both.")
    for name, value in bounds.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
            raise ConfigError(f"over({name}={value!r}): give a number of 0 or more.")

    def when(batch: BatchView) -> bool:
        many = calls is not None and batch.calls > calls
        return many or (usd is not None and (batch.usd is None or batch.usd > usd))

    return when


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that a person decides.

    Attributes:
        name: the tool, "llm_batch" or "ask_human".
        allowed: decisions that the person may make.
        description: what the person reads: a text, or (tool_call, state, runtime) -> text; None: a text of ours.
        when: whether to ask at all, of LangChain's `ToolCallRequest`, or of a `BatchView`; None: always.
    """

    name: str
    allowed: tuple[str, ...]
    description: str | Callable[..., str] | None = None
    when: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Approvals:
    """What needs a person, of one agent."""

    tools: Mapping[str, Gate] = field(default_factory=dict)
    batch: Gate | None = None
    ask: Gate | None = None

    def __bool__(self) -> bool:
        return bool(self.tools) or self.batch is not None or self.ask is not None


def resolve_approvals(interrupt_on: Mapping[str, Any] | None, tools: Collection[str], *, sub_calls: bool) -> Approvals:
    """Checks `interrupt_on`.

    Args:
        interrupt_on: as `create_rlm_agent` was given it.
        tools: names of the sub-agents' tools.
        sub_calls: whether the root can call sub-agents at all.

    Raises:
        ConfigError: a name that there is not, a setting of another shape.
    """
    if not isinstance(interrupt_on, Mapping | None):
        raise ConfigError(f"interrupt_on={interrupt_on!r}: give a dict, such as {{'send_email': True}}.")
    gates = {name: gate for name, given in (interrupt_on or {}).items() if (gate := _gate(name, given, tools))}
    if not sub_calls and set(gates) - {ASK}:
        raise ConfigError(f"interrupt_on: with max_depth=0 there are no sub-calls, and only {ASK!r} can be asked for.")
    return Approvals({n: gate for n, gate in gates.items() if n in tools}, gates.get(BATCH), gates.get(ASK))


def _gate(name: str, given: Any, tools: Collection[str]) -> Gate | None:
    if name not in tools and name not in _DECISIONS:
        known = ", ".join(map(repr, [*sorted(tools), BATCH, ASK]))
        raise ConfigError(
            f"interrupt_on: nothing is named {name!r} that a person could be asked about; there is {known}."
        )
    possible = _DECISIONS.get(name, _TOOL_DECISIONS)
    if isinstance(given, bool):
        return Gate(name, possible) if given else None
    if not isinstance(given, Mapping) or (unknown := [key for key in given if key not in _FIELDS]):
        what = f"{given!r}" if not isinstance(given, Mapping) else f"the key {unknown[0]!r}"
        raise ConfigError(f"interrupt_on[{name!r}]: not {what}; give True, False, or a dict of {', '.join(_FIELDS)}.")
    _check_callables(name, given)
    return Gate(name, _allowed(name, given, possible), given.get("description"), given.get("when"))


def _allowed(name: str, given: Mapping[str, Any], possible: Sequence[str]) -> tuple[str, ...]:
    allowed = given.get("allowed_decisions", possible)
    fits = isinstance(allowed, list | tuple) and allowed and all(each in possible for each in allowed)
    if not fits:
        raise ConfigError(f"interrupt_on[{name!r}]: allowed_decisions={allowed!r}; choose of {', '.join(possible)}.")
    return tuple(dict.fromkeys(allowed))


def _check_callables(name: str, given: Mapping[str, Any]) -> None:
    when, description = given.get("when"), given.get("description")
    if when is not None and (name == ASK or not callable(when)):
        raise ConfigError(f"interrupt_on[{name!r}]: when={when!r} is not used here or no function; leave it out.")
    fits = isinstance(description, str | None) or (callable(description) and name not in _DECISIONS)
    if not fits:
        raise ConfigError(f"interrupt_on[{name!r}]: description={description!r}; give a text.")
