"""From what a cell asked to what is sent: options checked against what the agent has, keys, chunks. Pure functions.

A call that cannot work (an unknown model, a tool that was not given) becomes a failed slot; it never costs the batch.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlm_agent import keys
from rlm_agent.repl.kernel import Request
from rlm_agent.spec import AgentSpec
from rlm_agent.sub_agents.schemas import check_schema

__all__ = ["CHUNK", "NO_CHILDREN", "OPTIONS", "Kind", "PlannedCall", "chunks", "failed_slot", "plan"]

NO_CHILDREN = "rlm() needs an agent with max_depth=2 or more, and this one has 1; use llm() or llm_batch()"
Kind = Literal["llm", "rlm"]

CHUNK = 64
OPTIONS = ("model", "tools", "schema", "system", "max_turns", "timeout")


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One slot: its ledger key, its plain input, why it cannot be sent ("" when it can), and who answers it: a
    sub-agent ("llm") or a child ("rlm")."""

    key: str
    spec: Mapping[str, Any]
    problem: str = ""
    kind: Kind = "llm"


def plan(request: Request, spec: AgentSpec, cell: str, counts: Counter[str], salt: str) -> tuple[PlannedCall, ...]:
    """Plans the calls of one request. `counts` counts identical calls of the cell and is advanced.

    A context of a call of `rlm` is the handle of a corpus, or a text that says why it can be none.
    """
    kind: Kind = "rlm" if request.kind == "rlm" else "llm"
    return tuple(_plan_one(call, kind, spec, cell, counts, salt) for call in request.calls)


def _plan_one(
    call: Mapping[str, Any], kind: Kind, spec: AgentSpec, cell: str, counts: Counter[str], salt: str
) -> PlannedCall:
    plain = {name: value for name, value in call.items() if value is not None}
    content = _content(plain, kind)
    k = counts[content]
    counts[content] += 1
    problem = (_child_problem(plain, spec) if kind == "rlm" else "") or _problem(plain, spec, kind)
    return PlannedCall(keys.call_key(cell, {"input": content}, k, salt), plain, problem, kind)


def _content(plain: Mapping[str, Any], kind: Kind) -> str:
    """The digest of a call's input; a context counts by what is in it, in whatever home that is."""
    if kind == "llm":
        return keys.digest(plain)
    context = plain.get("context")
    named = context["digest"] if isinstance(context, Mapping) else context
    return keys.digest(kind, {**plain, "context": named})


def _child_problem(call: Mapping[str, Any], spec: AgentSpec) -> str:
    if spec.sub_calls and not spec.children:
        return NO_CHILDREN
    return call["context"] if isinstance(call.get("context"), str) else ""


def _problem(call: Mapping[str, Any], spec: AgentSpec, kind: Kind) -> str:
    if not spec.sub_calls:
        # The REPL has no name of them then; a cell that asks all the same has forged its request.
        return "this agent has no sub-calls (max_depth=0)"
    unknown = sorted(set(call) - {"prompt", *OPTIONS, *(["context"] if kind == "rlm" else [])})
    if unknown:
        return f"unknown option {unknown[0]!r}; the options are {', '.join(OPTIONS)}"
    if not isinstance(call.get("prompt"), str) or not call["prompt"].strip():
        return "the prompt is empty; give a str with the whole task and its material"
    checks = (_model_problem, _tools_problem, _schema_problem, _number_problem)
    return next((problem for check in checks if (problem := check(call, spec))), "")


def _model_problem(call: Mapping[str, Any], spec: AgentSpec) -> str:
    name = call.get("model")
    if name is None or (isinstance(name, str) and name in spec.models):
        return ""
    known = ", ".join(sorted(spec.models)) or "none; leave model out"
    return f"no model is named {name!r}; known names: {known}"


def _tools_problem(call: Mapping[str, Any], spec: AgentSpec) -> str:
    names = call.get("tools")
    if names is None:
        return ""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return "tools takes a list of names"
    unknown = [name for name in names if name not in spec.tools]
    if not unknown:
        return ""
    return f"no tool is named {unknown[0]!r}; known names: {', '.join(sorted(spec.tools)) or 'none'}"


def _schema_problem(call: Mapping[str, Any], spec: AgentSpec) -> str:
    schema = call.get("schema")
    if schema is None:
        return ""
    return check_schema(schema) or ""


def _number_problem(call: Mapping[str, Any], spec: AgentSpec) -> str:
    turns, timeout = call.get("max_turns"), call.get("timeout")
    if turns is not None and (isinstance(turns, bool) or not isinstance(turns, int) or turns < 1):
        return "max_turns takes a whole number of 1 or more"
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0):
        return "timeout takes seconds above 0"
    if isinstance(call.get("system", ""), str):
        return ""
    return "system takes a str"


def chunks(calls: Sequence[PlannedCall]) -> list[list[dict[str, Any]]]:
    """The calls in groups of up to 64, as plain values: what one `sub_agent` task carries."""
    plain = [_plain(index, call) for index, call in enumerate(calls)]
    return [plain[i : i + CHUNK] for i in range(0, len(plain), CHUNK)]


def _plain(index: int, call: PlannedCall) -> dict[str, Any]:
    plain = {"key": call.key, "spec": dict(call.spec), "index": index}
    return plain if call.kind == "llm" else {**plain, "kind": call.kind}


def failed_slot(error: str, *, model: str = "", seconds: float = 0.0) -> dict[str, Any]:
    """The plain form of a slot that has no answer."""
    return {
        "text": "",
        "ok": False,
        "error": error,
        "data": None,
        "sources": [],
        "usage": None,
        "model": model,
        "seconds": round(seconds, 3),
    }
