"""One turn while it runs: its cells in a session, their requests answered from the ledger or sent out.

Invariant: everything here can be thrown away at any moment. A turn that is run again from the snapshot before it asks
for the same things under the same keys, and gets what is recorded. The record of the turn is written last.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rlm_agent import keys
from rlm_agent.budget import Account
from rlm_agent.cell_requests import CellRequests
from rlm_agent.observation import Outcome, observe, whole_output
from rlm_agent.repl.kernel import Bindings, CellDone, CellEvent, CellPaused, Session
from rlm_agent.replies import parsed
from rlm_agent.store import snapshots
from rlm_agent.store.plain import pack
from rlm_agent.store.records import BatchRecord, CellRecord, StepRecord, TurnRecord
from rlm_agent.store.turns import turn_id
from rlm_agent.sub_calls import chunks, failed_slot

if TYPE_CHECKING:
    from rlm_agent.activity import Activity

__all__ = ["TurnRun", "Waiting"]

INLINE = 4096


@dataclass(frozen=True, slots=True)
class Waiting:
    """The cell waits for sub-agents: blob keys of the chunks to send."""

    chunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The namespace after the turn, as its record names it; see there."""

    snapshot: str | None
    variables: Sequence[Mapping[str, Any]]
    lost: Sequence[Mapping[str, Any]]
    costs: dict[str, float]


class TurnRun:
    """Runs the blocks of one reply."""

    def __init__(self, activity: "Activity", number: int, before: str, reply: StepRecord) -> None:
        self.activity = activity
        self.number, self.before, self.reply_key = number, before, reply.key
        self.reply: str = reply.body["text"]
        self.code = parsed(reply)
        self.false_starts: tuple[tuple[str, str], ...] = ()
        self.head = activity.chain[-1] if activity.chain else None
        self._session: Session | None = None
        self._reply_digest = keys.digest(self.reply)
        self._begin()

    def _begin(self) -> None:
        self._block = 0
        self._cells: list[CellRecord] = []
        self._outputs: list[str] = []
        self._batches: list[BatchRecord] = []
        self._lost: list[Mapping[str, Any]] = []
        self._answer: Mapping[str, Any] | None = None
        self._begin_cell()

    @property
    def lineage(self) -> str:
        """The turn's lineage: that of its last block."""
        return self._lineage_of(len(self.code.blocks) - 1)

    def _lineage_of(self, block: int) -> str:
        return keys.lineage(self.before, self._reply_digest, block)

    async def advance(self) -> Waiting | TurnRecord:
        """Goes on until sub-agents are needed or the turn is recorded."""
        event = await self._answered() if self._requests.waiting else None
        while not isinstance(event, Waiting):
            if isinstance(event, CellPaused):
                await self._requests.plan(event)
                event = await self._answered()
            elif isinstance(event, CellDone):
                if await self._ended(event):
                    return await self._record()
                event = None
            else:
                event = await self._execute()
        return event

    async def close(self) -> None:
        """Ends the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def hand_over(self) -> Session | None:
        """Gives the live session to the next turn."""
        session, self._session = self._session, None
        return session

    def take_over(self, session: Session | None) -> None:
        """Goes on in the session of the turn before."""
        self._session = session

    async def _execute(self) -> CellEvent:
        session, warm = self._session, self._session is not None and self._session.alive
        if session is None or not warm:
            session = await self._rebuilt()
        self._begin_cell()
        entries = [await self._history_entry(self.head)] if warm and self._block == 0 and self.head else []
        return await self._run_block(session, entries)

    async def _run_block(self, session: Session, history: Sequence[Mapping[str, Any]] = ()) -> CellEvent:
        requests, code = self._requests, self.code.blocks[self._block]
        clock = await requests.clock()
        return await session.execute(code, history=history, unready=self._unready, seed=requests.seed, readings=clock)

    @property
    def _unready(self) -> bool:
        """A ready answer that the question goes on after was complained of."""
        head = self.head
        return self._block == 0 and head is not None and head.question == self.activity.question.number

    async def _restore(self) -> Session:
        """A new session at the namespace of before this turn."""
        activity = self.activity
        question = activity.question
        home = activity.home
        saved = None
        if self.head is not None and self.head.snapshot is not None:
            saved = await home.read(snapshots.source, home, self.head.snapshot)
        context = None
        if question.context is not None:
            context = await home.read(home.corpora.source, question.context)
        bindings = Bindings(
            task=question.message["text"],
            messages=question.earlier,
            history=[await self._history_entry(turn) for turn in activity.chain],
            context=context,
            functions=tuple(activity.spec.repl_functions),
            sub_calls=activity.spec.sub_calls,
            seed=keys.seed(activity.run.id),
            fresh_answer=self.head is None or self.head.question != question.number,
        )
        self._session = session = await activity.spec.kernel.session()
        self._lost.extend(await session.start(bindings, saved))
        return session

    async def _history_entry(self, turn: TurnRecord) -> dict[str, Any]:
        home = self.activity.home
        output = turn.output
        if turn.output_ref is not None:
            output = (await home.read(home.blobs.get, turn.output_ref)).decode("utf-8", "replace")
        batches = [{"calls": b.calls, "failed": b.failed, "seconds": b.seconds} for b in turn.batches]
        return {"turn": turn.number, "code": turn.code, "output": output, "error": turn.error, "batches": batches}

    async def _answered(self) -> CellEvent | Waiting:
        """Hands the answers to the cell, or names the chunks that are still to be asked."""
        missing = await self._requests.missing()
        if missing:
            blobs = self.activity.home.blobs
            return Waiting(tuple([await blobs.put(pack(chunk)) for chunk in chunks(missing)]))
        replies = await self._requests.replies()
        session = self._session
        assert session is not None
        return await session.answer(replies, await self._requests.clock())

    def _begin_cell(self, *, again: bool = False) -> None:
        """The cell's requests are numbered from the start; those of a cell that runs again are told already."""
        batches = [] if again else self._batches
        self._requests = CellRequests(self.activity, self.number, self._lineage_of(self._block), batches)

    # The end of a cell and of the turn

    async def _ended(self, done: CellDone) -> bool:
        """Takes in a cell's end. Returns True when the turn is over."""
        activity = self.activity
        await self._requests.end_stretch(done.readings)
        code = self.code.blocks[self._block]
        self._cells.append(CellRecord(code, done.error, round(done.seconds, 3)))
        self._outputs.append(done.output)
        activity.emit("cell.output", text=done.output[: activity.spec.limits.output_chars], error=done.error)
        activity.emit("cell.finished", seconds=done.seconds, ok=done.error is None)
        if done.error_kind in ("killed", "died"):
            await self._rebuilt()
        elif done.answer is not None:
            self._answer = done.answer
        self._block += 1
        return done.error is not None or self._block == len(self.code.blocks)

    async def _rebuilt(self) -> Session:
        """A session at the namespace of before this block: restored, and the blocks before it replayed."""
        await self.close()
        session, block = await self._restore(), self._block
        for self._block in range(block):
            self._begin_cell(again=True)
            event = await self._run_block(session)
            while isinstance(event, CellPaused):
                event = await self._replayed(session, event)
        self._block = block
        return session

    async def _replayed(self, session: Session, event: CellPaused) -> CellEvent:
        await self._requests.plan(event)
        for call in await self._requests.missing():
            self.activity.results[call.key] = failed_slot("not recorded when the worker was replaced")
        return await session.answer(await self._requests.replies(), await self._requests.clock())

    async def _record(self) -> TurnRecord:
        """Saves the namespace, then the turn that names it, in that order."""
        activity = self.activity
        kept = await self._snapshot()
        lost = list({loss["name"]: loss for loss in [*self._lost, *kept.lost]}.values())
        answer = dict(self._answer or self._previous_answer())
        if self._cells[-1].error is not None:
            answer["ready"] = False
        outcome = Outcome(
            self.number, self._cells, self._outputs, len(self.code.blocks), self._batches, answer, lost, self.code.cut
        )
        record = await self._turn_record(outcome, kept, activity.account)
        stored = await activity.home.turns.add(record, activity.fence)
        if lost:
            activity.emit("variables.lost", variables=lost)
        activity.emit("answer.updated", ready=bool(answer["ready"]), content=_preview(answer.get("content", "")))
        return stored

    async def _snapshot(self) -> _Kept:
        """Saves the namespace; where the worker is gone it is that of before the turn."""
        session, head = self._session, self.head
        if session is None or not session.alive:
            return _Kept(head.snapshot if head else None, head.variables if head else (), (), {})
        began = time.monotonic()
        taken = await session.snapshot()
        key = await snapshots.save(self.activity.home, taken)
        waited = round((time.monotonic() - began) * 1000, 1)
        return _Kept(key, taken.variables, taken.lost, {"snapshot_ms": waited, "snapshot_bytes": taken.size})

    def _previous_answer(self) -> Mapping[str, Any]:
        if self.head is not None and self.head.question == self.activity.question.number:
            return self.head.answer
        return {"content": "", "ready": False}

    async def _turn_record(self, outcome: Outcome, kept: _Kept, account: Account) -> TurnRecord:
        activity, head = self.activity, self.head
        blobs = activity.home.blobs
        output = whole_output(outcome)
        large = len(output) > INLINE
        output_ref = await blobs.put(output.encode("utf-8", "replace")) if large else None
        record = TurnRecord(
            id="",
            run=activity.run.id,
            number=self.number,
            question=activity.question.number,
            parent=head.id if head else None,
            lineage_before=self.before,
            lineage=self.lineage,
            reply_key=self.reply_key,
            reply=self.reply[: 256 * 1024],
            reasoning=self.code.reasoning,
            code="\n\n".join(self.code.blocks),
            cells=tuple(outcome.cells),
            output="" if large else output,
            output_ref=output_ref,
            shown=observe(outcome, activity.spec.limits.output_chars, account.left_line(activity.turns_used + 1)),
            error=outcome.error,
            seconds=round(outcome.seconds, 3),
            batches=tuple(outcome.batches),
            false_starts=self.false_starts,
            answer=await self._stored_answer(outcome.answer),
            snapshot=kept.snapshot,
            variables=tuple(dict(v) for v in kept.variables),
            lost=tuple(dict(v) for v in outcome.lost),
            costs=kept.costs,
            at=time.time(),
        )
        return replace(record, id=turn_id(record.plain()))

    async def _stored_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The answer as the record holds it: large content as a reference to a blob."""
        if "ref" in answer:
            return dict(answer)
        packed = pack(answer["content"])
        if len(packed) <= INLINE:
            return {"content": answer["content"], "ready": bool(answer["ready"])}
        return {"ref": await self.activity.home.blobs.put(packed), "ready": bool(answer["ready"])}


def _preview(content: Any) -> str:
    return (content if isinstance(content, str) else repr(content))[:500]
