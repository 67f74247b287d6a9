"""One turn while it runs: its cells in a session, their requests answered from the ledger or sent out.

Invariant: everything here can be thrown away at any moment. A turn that is run again from the snapshot before it asks
for the same things under the same keys, and gets what is recorded. The record of the turn is `end.py`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm_agent import keys
from rlm_agent.crash_points import reach
from rlm_agent.human.approvals import ASK
from rlm_agent.repl.kernel import Bindings, CellDone, CellEvent, CellPaused, Session
from rlm_agent.root.observation import whole_output
from rlm_agent.root.replies import parsed
from rlm_agent.store.plain import pack
from rlm_agent.store.records import BatchRecord, CellRecord, StepRecord, TurnRecord
from rlm_agent.sub_agents.sub_calls import chunks
from rlm_agent.turns.cell_requests import CellRequests
from rlm_agent.turns.end import Kept, PendingTurn, TurnEnd
from rlm_agent.turns.restoring import snapshot_after

if TYPE_CHECKING:
    from rlm_agent.entries.activity import Activity

__all__ = ["Replayed", "TurnRun", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The cell waits: for sub-agents, by blob keys of the chunks to send, or else for a person's answers, by key."""

    chunks: tuple[str, ...] = ()
    humans: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """A turn that was run again.

    Attributes:
        output: what it printed and its error, as `TurnRecord.output` has it.
        unrecorded: what it asked that no record answers; then it was broken off.
        kept: the namespace after it.
    """

    output: str
    unrecorded: tuple[str, ...]
    kept: Kept | None = None


class TurnRun:
    """Runs the blocks of one reply.

    Attributes:
        head: the turn before, or None.
        session: the worker, None before it is needed.
        cells, outputs, batches, lost, answer: what came of the blocks so far.
    """

    def __init__(self, activity: "Activity", number: int, before: str, reply: StepRecord) -> None:
        self.activity = activity
        self.number, self.before, self.reply_key = number, before, reply.key
        self.reply: str = reply.body["text"]
        self.code = parsed(reply)
        self.false_starts: tuple[tuple[str, str], ...] = ()
        self.head = activity.chain[-1] if activity.chain else None
        self.session: Session | None = None
        self._reply_digest = keys.digest(self.reply)
        self._begin()

    def _begin(self) -> None:
        self._block = 0
        self.cells: list[CellRecord] = []
        self.outputs: list[str] = []
        self.batches: list[BatchRecord] = []
        self.lost: list[Mapping[str, Any]] = []
        self.answer: Mapping[str, Any] | None = None
        self._begin_cell()

    @property
    def lineage(self) -> str:
        """The turn's lineage: that of its last block."""
        return self._lineage_of(len(self.code.blocks) - 1)

    def _lineage_of(self, block: int) -> str:
        return keys.lineage(self.before, self._reply_digest, block)

    async def advance(self) -> Waiting | TurnRecord | PendingTurn:
        """Goes on until sub-agents are needed, or the turn is recorded or pending."""
        event = await self._answered() if self._requests.waiting else None
        while not isinstance(event, Waiting):
            if isinstance(event, CellPaused):
                await self._requests.plan(event)
                event = await self._answered()
            elif isinstance(event, CellDone):
                if await self._ended(event):
                    return await TurnEnd(self).record()
                event = None
            else:
                event = await self._execute()
        return event

    async def replay(self) -> Replayed:
        """Runs the turn again from the record alone: nothing is asked for, paid or recorded.

        A cell that asks for what is not on record ends it.
        """
        while True:
            event = await self._execute(again=True)
            while isinstance(event, CellPaused):
                assert self.session is not None
                event = await self._replayed(self.session, event)
                if self._requests.unrecorded:
                    return Replayed("", tuple(self._requests.unrecorded))
            assert isinstance(event, CellDone)
            if await self._ended(event):
                break
        end = TurnEnd(self)
        kept = await end.save()
        return Replayed(whole_output(end.outcome(kept.lost)), (), kept)

    async def close(self) -> None:
        """Ends the session."""
        session, self.session = self.session, None
        if session is not None:
            await session.close()

    def hand_over(self) -> Session | None:
        """Gives the live session to the next turn."""
        session, self.session = self.session, None
        return session

    def take_over(self, session: Session | None) -> None:
        """Goes on in the session of the turn before."""
        self.session = session

    async def _execute(self, *, again: bool = False) -> CellEvent:
        session, warm = self.session, self.session is not None and self.session.alive
        if session is None or not warm:
            session = await self._rebuilt()
        self._begin_cell(again=again)
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
        context = None
        if question.context is not None:
            context = await home.read(home.corpora.source, question.context)
        bindings = Bindings(
            task=question.message["text"],
            messages=question.earlier,
            history=[await self._history_entry(turn) for turn in activity.chain],
            context=context,
            functions=(*activity.spec.repl_functions, *([ASK] if activity.spec.approvals.ask else [])),
            code=[code.source for code in activity.spec.repl_code],
            sub_calls=activity.spec.sub_calls,
            seed=keys.seed(activity.run.id if activity.depth == 0 else question.genesis),
            fresh_answer=self.head is None or self.head.question != question.number,
        )
        async with snapshot_after(home, activity.run.thread, activity.chain) as saved:
            self.session = session = await activity.spec.kernel.session()
            self.lost.extend(await session.start(bindings, saved))
        reach("resume.restored")
        return session

    async def _history_entry(self, turn: TurnRecord) -> dict[str, Any]:
        home = self.activity.home
        output = turn.output
        if turn.output_ref is not None:
            output = (await home.read(home.blobs.get, turn.output_ref)).decode("utf-8", "replace")
        batches = [{"calls": b.calls, "failed": b.failed, "seconds": b.seconds} for b in turn.batches]
        return {"turn": turn.number, "code": turn.code, "output": output, "error": turn.error, "batches": batches}

    async def _answered(self) -> CellEvent | Waiting:
        """Hands the answers to the cell, or names what is still to be asked; a person comes last."""
        missing = await self._requests.missing()
        if missing:
            blobs = self.activity.home.blobs
            stored = tuple([await blobs.put(pack(chunk)) for chunk in chunks(missing)])
            reach("batch.stored")
            return Waiting(stored)
        if humans := self._requests.humans():
            return Waiting(humans=humans)
        replies = await self._requests.replies()
        reach("batch.answered")
        session = self.session
        assert session is not None
        return await session.answer(replies, await self._requests.clock())

    def _begin_cell(self, *, again: bool = False) -> None:
        """The cell's requests are numbered from the start; those of a cell that runs again are told already."""
        batches = [] if again else self.batches
        cell = self._lineage_of(self._block)
        self._requests = CellRequests(self.activity, self.number, cell, batches, again=again)

    # The end of a cell and of the turn

    async def _ended(self, done: CellDone) -> bool:
        """Takes in a cell's end. Returns True when the turn is over."""
        activity = self.activity
        await self._requests.end_stretch(done.readings)
        code = self.code.blocks[self._block]
        self.cells.append(CellRecord(code, done.error, round(done.seconds, 3)))
        self.outputs.append(done.output)
        activity.emit("cell.output", text=done.output[: activity.spec.limits.output_chars], error=done.error)
        activity.emit("cell.finished", seconds=done.seconds, ok=done.error is None)
        if done.error_kind in ("killed", "died"):
            await self._rebuilt()
        elif done.answer is not None:
            self.answer = done.answer
        self._block += 1
        return done.error is not None or self._block == len(self.code.blocks)

    async def _rebuilt(self) -> Session:
        """A session at the namespace of before this block: restored, and the blocks before it replayed."""
        await self.close()
        session, block = await self._restore(), self._block
        for self._block in range(block):
            reach("resume.replaying")
            self._begin_cell(again=True)
            event = await self._run_block(session)
            while isinstance(event, CellPaused):
                event = await self._replayed(session, event)
        self._block = block
        return session

    async def _replayed(self, session: Session, event: CellPaused) -> CellEvent:
        await self._requests.plan(event)
        return await session.answer(await self._requests.replies(), await self._requests.clock())
