"""The rows of the home, as frozen values: a run, its questions, its turns, and the steps that were paid for.

Invariant: a turn and a step are never changed once written; a question changes its status only.
Times are seconds since the epoch, UTC. `version` is the schema version of the record.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "RECORD_VERSION",
    "BatchRecord",
    "CellRecord",
    "QuestionRecord",
    "QuestionStatus",
    "RunRecord",
    "StepKind",
    "StepRecord",
    "TurnRecord",
]

RECORD_VERSION = 1

QuestionStatus = Literal["open", "stopped", "answered"]
StepKind = Literal[
    "root", "model", "tool", "slot", "function", "refusal", "check", "notes", "human", "started", "pending", "clock"
]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One REPL's life.

    Attributes:
        id: random, 32 hexadecimal digits.
        thread: LangGraph's thread id, or None where the caller gave none.
        path: the agent path: checkpoint namespace without task ids; "" standalone.
        name: the agent's name.
        salt: branch salt, part of every ledger key of the run; "" unless forked with resampling or code.
        forked_from: id of the run that this one was forked from, or None.
        forked_at: number of the turn that it stood at then; 0: before the first.
        removed: it was removed; what is left of it belongs to the runs that were forked from it.
        parent: id of the run whose `rlm()` call this one answers, or None.
        call: ledger key of that call, or None.
    """

    id: str
    thread: str | None
    path: str
    name: str
    created: float
    salt: str = ""
    forked_from: str | None = None
    forked_at: int | None = None
    version: int = RECORD_VERSION
    removed: bool = False
    parent: str | None = None
    call: str | None = None


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """One input to a run.

    Attributes:
        number: from 1, within the run.
        find_key: under which the same call finds it again; None where it cannot be found again.
        digest: of the last human message and the context, without message ids.
        message: the last human message: {"id", "text", "content"}.
        earlier: earlier conversation, [{"role", "content"}, ...].
        context: the corpus handle (plain JSON) or None.
        context_digest: of the context alone, "" where there is none.
        first_turn: number of the question's first turn.
        genesis: lineage from which the question's first turn descends.
        stopped_by: "ready", "budget", "turns", "malformed", "recursion_limit"; None while open.
        result: what `finish` returned, as plain JSON: {"text", "rlm", "structured"}; None while open.
        active_seconds: time worked on the question, not waiting for a human.
        parent: id of the turn at which it was asked, None before the first.
    """

    run: str
    number: int
    find_key: str | None
    digest: str
    message: dict[str, Any]
    earlier: list[dict[str, Any]]
    context: dict[str, Any] | None
    context_digest: str
    first_turn: int
    genesis: str
    status: QuestionStatus = "open"
    stopped_by: str | None = None
    result: dict[str, Any] | None = None
    active_seconds: float = 0.0
    created: float = 0.0
    parent: str | None = None
    version: int = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class CellRecord:
    """One code block of a turn. `error` is the traceback text or None; `seconds` excludes waiting for sub-agents."""

    code: str
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One wave of sub-calls: how many, how many of them failed, how many came from the ledger."""

    calls: int
    failed: int
    replayed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One root turn, immutable; the chain of them is the run.

    Attributes:
        id: digest of all else.
        parent: id of the turn before, None for the first.
        lineage_before: lineage that the reply descends from.
        lineage: lineage of the turn's last cell; unique within the run.
        reply_key: ledger key of the root reply that was acted on.
        reply: the root's whole reply text, cut to a quarter MB.
        reasoning: the reply's text outside its code.
        code: all blocks, joined by an empty line.
        output: everything the cells printed, or "" when `output_ref` names the blob that holds it.
        shown: exactly what the root reads of this turn.
        false_starts: replies without code before this one, as [reply, reminder] pairs.
        answer: {"content", "ready"} at the end of the turn; large content as {"ref": blob key}.
        snapshot: blob key of the namespace after the turn.
        variables: [{"name", "type", "size_bytes", "shape", "preview", "lost"}, ...].
        lost: [{"name", "type", "why"}, ...] that the snapshot could not hold.
        costs: {"snapshot_ms"}: how long the snapshot was waited for; "snapshot_bytes" written for it; "pending" where
            the next reply was asked for meanwhile, so that the root hears of `lost` a turn later.
    """

    id: str
    run: str
    number: int
    question: int
    parent: str | None
    lineage_before: str
    lineage: str
    reply_key: str
    reply: str
    reasoning: str
    code: str
    cells: tuple[CellRecord, ...]
    output: str
    output_ref: str | None
    shown: str
    error: str | None
    seconds: float
    batches: tuple[BatchRecord, ...]
    false_starts: tuple[tuple[str, str], ...]
    answer: dict[str, Any]
    snapshot: str | None
    variables: tuple[dict[str, Any], ...]
    lost: tuple[dict[str, Any], ...]
    costs: dict[str, float] = field(default_factory=dict)
    at: float = 0.0
    version: int = RECORD_VERSION

    def plain(self) -> dict[str, Any]:
        """The record as dicts and lists, for msgpack and JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> "TurnRecord":
        """The inverse of `plain`; lists become tuples again."""
        return cls(
            **{
                **data,
                "cells": tuple(CellRecord(**c) for c in data["cells"]),
                "batches": tuple(BatchRecord(**b) for b in data["batches"]),
                "false_starts": tuple((a, b) for a, b in data["false_starts"]),
                "variables": tuple(data["variables"]),
                "lost": tuple(data["lost"]),
            }
        )


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One row of the ledger: an outcome that was paid for, or decided, and must never be so again.

    Attributes:
        key: content of the step, see `keys.py`; the first record of a key stands.
        kind: "root" reply, "model" reply inside a sub-agent, "tool" result, "slot" (a sub-call's final result),
            "function" result, "refusal" of a batch, "check" complaint, "notes" read by a turn, "human" answer,
            "started": the beginning of a call that acts once, "pending" output of a turn whose snapshot was still being
            written, readings of the "clock" in a cell.
        role: "root", "sub" or "": whose account the tokens are on. A slot assembled from recorded inner steps has "".
        body: plain JSON; large ones are kept as a blob by the ledger itself.
        usd: None where the price is unknown.
        child: id of the child run that took the step; "" for the run's own. `run`, `question` and `turn` are always
            those of the run that a person asked, which pays for all.
    """

    key: str
    run: str
    question: int
    turn: int
    kind: StepKind
    role: Literal["root", "sub", ""]
    body: dict[str, Any]
    model: str = ""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = None
    seconds: float = 0.0
    at: float = 0.0
    version: int = RECORD_VERSION
    child: str = ""
