"""Names of everything that is recorded: lineages, ledger keys, questions. Pure functions of content.

Invariant: no time, usage, checkpoint id, task id, prompt text or version of ours enters a key, so that a run that is
resumed, forked or replayed anywhere finds what was paid (contract, section 4).
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blake3 import blake3

if TYPE_CHECKING:
    from rlm_agent.store.records import RunRecord

__all__ = [
    "asked_key",
    "call_key",
    "cell_seed",
    "check_key",
    "child_genesis",
    "clock_key",
    "digest",
    "genesis",
    "human_key",
    "inner_key",
    "lineage",
    "notes_key",
    "pending_key",
    "place",
    "place_of",
    "question_digest",
    "refusal_key",
    "root_key",
    "seed",
    "started_key",
]


def digest(*parts: Any) -> str:
    """64 hexadecimal digits of plain JSON values; equal values give equal digests whatever the order of their keys."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=repr)
    return blake3(text.encode("ascii")).hexdigest()


def genesis(run: str, question: int) -> str:
    """The lineage from which a question's first turn descends."""
    return digest("genesis", run, question)


def child_genesis(call: str) -> str:
    """The lineage from which a child's first turn descends, by the key of the call that it answers: a fork that makes
    the same call goes on with what the child was paid for."""
    return digest("child", call)


def lineage(parent: str, reply_digest: str, block: int) -> str:
    """The lineage of one code block of a root reply."""
    return digest("lineage", parent, reply_digest, block)


def root_key(before: str, turn: int, attempt: int, notes: Sequence[int], salt: str) -> str:
    """The key of a root reply: never of the rendered prompt, which tells budget and times."""
    return digest("root", before, turn, attempt, list(notes), salt)


def call_key(cell: str, spec: Mapping[str, Any], k: int, salt: str) -> str:
    """The key of a sub-call or host function; `k` counts the identical ones of this cell from 0."""
    return digest("call", cell, spec, k, salt)


def refusal_key(cell: str, calls: Sequence[str], k: int, salt: str) -> str:
    """The key of a batch's refusal, by the digests of its calls."""
    return digest("refusal", cell, list(calls), k, salt)


def inner_key(call: str, kind: str, step_input: Any, k: int) -> str:
    """The key of a model reply or tool result inside a sub-agent."""
    return digest(kind, call, step_input, k)


def human_key(about: str) -> str:
    """The key of a person's answer, by the key of what it is about: a tool's result, a batch, a question."""
    return digest("human", about)


def asked_key(answer: str) -> str:
    """The key under which it is recorded what a person is asked, or that nobody is, by the key of the answer."""
    return digest("asked", answer)


def started_key(outcome: str) -> str:
    """The key under which the start of a call that acts once is recorded, by the key of its outcome."""
    return digest("started", outcome)


def check_key(turn: str) -> str:
    """The key of what the checks said of a turn's answer, by the turn's lineage."""
    return digest("check", turn)


def notes_key(before: str, turn: int, run: str) -> str:
    """The key under which a turn of a run records the notes that it reads; a fork decides for itself."""
    return digest("notes", before, turn, run)


def clock_key(cell: str, stretch: int, salt: str) -> str:
    """The key of what a cell read of the clock; `stretch` counts from 0, and ends with a request or the cell."""
    return digest("clock", cell, stretch, salt)


def cell_seed(cell: str, salt: str) -> str:
    """The seed of the random bytes that a cell draws: the same whenever it runs again, known to nobody without the
    run's record."""
    return digest("entropy", cell, salt)


def question_digest(content: Any, context_digest: str) -> str:
    """What makes two inputs equal: the last human message's content and the context, no message ids."""
    return digest("question", content, context_digest)


def pending_key(turn: str, run: str) -> str:
    """The key of what the root reads of a turn whose snapshot is still being written, by the turn's lineage."""
    return digest("pending", turn, run)


def place(thread: str, path: str, name: str) -> str:
    """The name of a lease: one owner a place. A run without a thread is leased under its own id."""
    return digest("place", thread, path, name)


def place_of(run: "RunRecord") -> str:
    """What a run's owner holds the lease of."""
    return run.id if run.thread is None else place(run.thread, run.path, run.name)


def seed(run: str) -> int:
    """The seed of a fresh namespace's random generators, below 2**63."""
    return int(digest("seed", run)[:16], 16) >> 1
