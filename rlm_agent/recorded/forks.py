"""Making a fork: a run on a thread of its own that stands where a turn of another ended.

Invariant: the run that is forked is only read. What the fork replays unchanged is answered from the ledger, since its
lineages and keys are those of its origin; a salt of its own parts it from there. Rows are `store/forks.py`'s.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlm_agent import keys
from rlm_agent.errors import ConfigError
from rlm_agent.root.replies import as_reply
from rlm_agent.store.forks import Fork
from rlm_agent.store.home import Home
from rlm_agent.store.records import QuestionRecord, RunRecord, StepRecord, TurnRecord

__all__ = ["Branch", "make_fork"]


@dataclass(frozen=True, slots=True)
class Branch:
    """How a fork differs from its origin.

    Attributes:
        code: what its first turn runs, instead of asking the root.
        message: a note that its first reply is asked with.
        resample: asks for everything anew instead of taking it from the ledger.
        thread: its thread id; None: a new one.
    """

    code: str | None = None
    message: str | None = None
    resample: bool = False
    thread: str | None = None

    def check(self) -> None:
        """Raises ConfigError for what cannot be told or run."""
        if self.code is not None and not self.code.strip():
            raise ConfigError("fork(code=...): the code is empty; leave it out to ask the root.")
        if self.message is not None and not self.message.strip():
            raise ConfigError("fork(message=...): the message is empty; leave it out to tell the root nothing.")
        if self.thread is not None and not (isinstance(self.thread, str) and self.thread):
            raise ConfigError(f"fork(thread={self.thread!r}): give a thread id (str), or None for a new one.")


async def make_fork(home: Home, origin: RunRecord, chain: Sequence[TurnRecord], at: int, branch: Branch) -> str:
    """Records a fork of `origin` that stands after the first `at` turns of its chain. Returns its thread id."""
    branch.check()
    turn = chain[at - 1]
    salt = await _salt(home, origin, chain, at, branch)
    run = RunRecord(
        id=uuid.uuid4().hex,
        thread=branch.thread or str(uuid.uuid4()),
        path="",
        name=origin.name,
        created=time.time(),
        salt=salt,
        forked_from=origin.id,
        forked_at=turn.number,
    )
    question = await _question(home, origin, chain[:at], run)
    if branch.code is not None:
        await home.ledger.record(_given(run, turn, branch.code))
    await home.forks.create(Fork(run, question, turn.id, branch.message))
    return str(run.thread)


async def _salt(home: Home, origin: RunRecord, chain: Sequence[TurnRecord], at: int, branch: Branch) -> str:
    """Of the replies that come next: those of the chain are found under the salt of the run that asked for them."""
    if branch.resample or branch.code is not None:
        return uuid.uuid4().hex
    if at == len(chain):
        return origin.salt
    return (await home.read(home.runs.get, chain[at].run)).salt


async def _question(home: Home, origin: RunRecord, turns: Sequence[TurnRecord], run: RunRecord) -> QuestionRecord:
    """The question of the last turn, open again in the fork."""
    number = turns[-1].question
    question = await home.read(home.runs.question, origin.id, number)
    seconds = await _seconds(home, [turn for turn in turns if turn.question == number])
    fresh = replace(question, status="open", stopped_by=None, result=None, active_seconds=seconds)
    return replace(fresh, run=run.id, find_key=None)


async def _seconds(home: Home, turns: Sequence[TurnRecord]) -> float:
    """Time worked in these turns, as their records tell it: replies, cells and sub-calls."""
    replies = await home.read(home.ledger.get_many, [turn.reply_key for turn in turns])
    asked = sum(reply.seconds for reply in replies.values())
    return round(asked + sum(turn.seconds + sum(batch.seconds for batch in turn.batches) for turn in turns), 3)


def _given(run: RunRecord, turn: TurnRecord, code: str) -> StepRecord:
    """Code that a person gave, as the reply of the turn after `turn`; nothing was paid for it."""
    key = keys.root_key(turn.lineage, turn.number + 1, 0, [], run.salt)
    body: dict[str, Any] = {"text": as_reply(code), "cut": False, "given": True}
    return StepRecord(key, run.id, turn.question, turn.number + 1, "root", "", body, at=time.time())
