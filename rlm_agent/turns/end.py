"""The end of a turn: its namespace saved, then its record written, which names it.

Invariant: a turn is recorded only once its snapshot is whole; a snapshot that fails costs what this turn changed, never
an earlier one. While saving is slow the turn is pending: its output and what the root reads of it are on record, the
next reply is asked for meanwhile, and no cell runs. Resumed from there, the cells run again against the ledger, and the
output stays what the root has read.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rlm_agent import keys
from rlm_agent.crash_points import reach
from rlm_agent.errors import KernelError
from rlm_agent.root.observation import Outcome, observe, whole_output
from rlm_agent.store import snapshots
from rlm_agent.store.plain import pack
from rlm_agent.store.records import StepRecord, TurnRecord
from rlm_agent.store.turns import turn_id

if TYPE_CHECKING:
    from rlm_agent.turns.running import TurnRun

__all__ = ["Kept", "PendingTurn", "TurnEnd"]

INLINE = 4096
PATIENCE = 0.25
"""Seconds that a snapshot is waited for before the next reply is asked for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The namespace after the turn, as its record names it; see there."""

    snapshot: str | None
    variables: Sequence[Mapping[str, Any]]
    lost: Sequence[Mapping[str, Any]] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Text:
    """What the cells printed, and what the root reads of the turn."""

    output: str
    shown: str
    pending: bool = False


class PendingTurn:
    """A turn whose snapshot is still being written.

    Attributes:
        record: all of it but for the id and what the snapshot tells.
    """

    def __init__(self, end: "TurnEnd", record: TurnRecord, saving: "asyncio.Future[Kept]", waited: float) -> None:
        self.record = record
        self._end, self._saving, self._waited = end, saving, waited

    async def settle(self) -> TurnRecord:
        """Waits for the snapshot and records the turn."""
        began = time.monotonic()
        kept = await self._saving
        return await self._end.add(self.record, kept, self._waited + time.monotonic() - began)


class TurnEnd:
    """Ends one turn whose cells have run."""

    def __init__(self, turn: "TurnRun") -> None:
        self._turn = turn
        self._activity = turn.activity

    async def record(self) -> TurnRecord | PendingTurn:
        """Saves the namespace and records the turn; pending, where saving takes long and the answer is not ready."""
        began = time.monotonic()
        saving = asyncio.ensure_future(self.save())
        try:
            await asyncio.wait({saving}, timeout=None if self.outcome().answer["ready"] else PATIENCE)
            if not saving.done():
                return await self._pend(saving, time.monotonic() - began)
            kept = await saving
            record = await self._record(await self._text(kept), kept.lost)
            stored = await self.add(record, kept, time.monotonic() - began)
            self._tell(stored)
            return stored
        except BaseException:
            saving.cancel()
            raise

    async def add(self, record: TurnRecord, kept: Kept, waited: float) -> TurnRecord:
        """Records the turn with its namespace."""
        lost = _merged(record.lost, kept.lost)
        costs = {**record.costs, "snapshot_ms": round(waited * 1000, 1), "snapshot_bytes": kept.size}
        whole = replace(
            record, snapshot=kept.snapshot, variables=tuple(dict(v) for v in kept.variables), lost=lost, costs=costs
        )
        activity = self._activity
        stored = await activity.home.turns.add(replace(whole, id=turn_id(whole.plain())), activity.fence)
        if lost:
            activity.emit("variables.lost", number=record.number, variables=list(lost))
        return stored

    async def save(self) -> Kept:
        """The namespace, saved; that of before the turn where the worker is gone or fails at it."""
        session = self._turn.session
        if session is None:
            return await self._before()
        reach("snapshot.before")
        try:
            taken = await session.snapshot()
        except KernelError as error:
            # Also where the worker ended by itself after the cell: nobody has been told of that.
            why = f"they could not be saved, so all variables are again what they were before the turn ({error})"
            before = await self._before()
            return replace(before, lost=({"name": "*", "type": "changes of this turn", "why": why},))
        reach("snapshot.taken")
        key = await snapshots.save(self._activity.home, taken)
        return Kept(key, taken.variables, taken.lost, taken.size)

    def outcome(self, lost: Sequence[Mapping[str, Any]] = ()) -> Outcome:
        """All that the turn did."""
        turn = self._turn
        answer = dict(turn.answer or self._previous_answer())
        if turn.cells[-1].error is not None:
            answer["ready"] = False
        losses = _merged(turn.lost, lost)
        return Outcome(
            turn.number, turn.cells, turn.outputs, len(turn.code.blocks), turn.batches, answer, losses, turn.code.cut
        )

    async def _before(self) -> Kept:
        head, home = self._turn.head, self._activity.home
        if head is None:
            return Kept(None, ())
        return Kept(await home.read(home.signatures.snapshot_of, head), head.variables)

    async def _pend(self, saving: "asyncio.Future[Kept]", waited: float) -> PendingTurn:
        text = await self._text(None)
        record = await self._record(text, ())
        self._tell(record)
        return PendingTurn(self, record, saving, waited)

    async def _text(self, kept: Kept | None) -> _Text:
        """What is on record, where this turn was pending when its process died; else what is true now."""
        activity, turn = self._activity, self._turn
        key = keys.pending_key(turn.lineage, activity.run.id)
        known = await activity.home.read(activity.home.ledger.get, key)
        if known is not None:
            return _Text(known.body["output"], known.body["shown"], pending=True)
        outcome = self.outcome(kept.lost if kept is not None else ())
        left = activity.left_line(activity.turns_used + 1)
        shown = observe(outcome, activity.spec.limits.output_chars, left, self._late_losses())
        text = _Text(whole_output(outcome), shown, pending=kept is None)
        if text.pending:
            body = {"output": text.output, "shown": text.shown}
            step = StepRecord(key, activity.run.id, activity.question.number, turn.number, "pending", "", body)
            await activity.record(replace(step, at=time.time()))
        return text

    def _late_losses(self) -> Sequence[Mapping[str, Any]]:
        """What the turn before lost, where the root could not be told in time."""
        head = self._turn.head
        return head.lost if head is not None and head.costs.get("pending") else ()

    def _previous_answer(self) -> Mapping[str, Any]:
        head = self._turn.head
        if head is not None and head.question == self._activity.question.number:
            return head.answer
        return {"content": "", "ready": False}

    async def _record(self, text: _Text, lost: Sequence[Mapping[str, Any]]) -> TurnRecord:
        activity, turn, outcome = self._activity, self._turn, self.outcome(lost)
        large = len(text.output) > INLINE
        output_ref = await activity.home.blobs.put(text.output.encode("utf-8", "replace")) if large else None
        answer = await self._stored_answer(outcome.answer)
        return TurnRecord(
            id="",
            run=activity.run.id,
            number=turn.number,
            question=activity.question.number,
            parent=turn.head.id if turn.head else None,
            lineage_before=turn.before,
            lineage=turn.lineage,
            reply_key=turn.reply_key,
            reply=turn.reply[: 256 * 1024],
            reasoning=turn.code.reasoning,
            code="\n\n".join(turn.code.blocks),
            cells=tuple(outcome.cells),
            output="" if large else text.output,
            output_ref=output_ref,
            shown=text.shown,
            error=outcome.error,
            seconds=round(outcome.seconds, 3),
            batches=tuple(outcome.batches),
            false_starts=turn.false_starts,
            answer=answer,
            snapshot=None,
            variables=(),
            lost=tuple(dict(v) for v in outcome.lost),
            costs={"pending": 1.0} if text.pending else {},
            at=time.time(),
        )

    def _tell(self, record: TurnRecord) -> None:
        answer = self.outcome().answer
        content = _preview(answer.get("content", ""))
        self._activity.emit("answer.updated", ready=bool(record.answer["ready"]), content=content)

    async def _stored_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The answer as the record holds it: large content as a reference to a blob."""
        if "ref" in answer:
            return dict(answer)
        packed = pack(answer["content"])
        if len(packed) <= INLINE:
            return {"content": answer["content"], "ready": bool(answer["ready"])}
        return {"ref": await self._activity.home.blobs.put(packed), "ready": bool(answer["ready"])}


def _merged(*losses: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Losses, one a variable, the last word on each."""
    return tuple({loss["name"]: dict(loss) for some in losses for loss in some}.values())


def _preview(content: Any) -> str:
    return (content if isinstance(content, str) else repr(content))[:500]
