"""One turn while it runs: its cells in a session, their requests answered from the ledger or sent out.

Invariant: everything here can be thrown away at any moment. A turn that is run again from the snapshot before it asks
for the same things under the same keys, and gets what is recorded. The record of the turn is written last.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rlm_agent import keys
from rlm_agent.budget import Account
from rlm_agent.functions import call_function
from rlm_agent.observation import Outcome, observe, whole_output
from rlm_agent.repl.kernel import Bindings, CellDone, CellEvent, CellPaused, Request, Session
from rlm_agent.replies import parsed
from rlm_agent.store import snapshots
from rlm_agent.store.plain import pack
from rlm_agent.store.records import BatchRecord, CellRecord, StepRecord, TurnRecord
from rlm_agent.store.turns import turn_id
from rlm_agent.sub_calls import PlannedCall, chunks, failed_slot, plan

if TYPE_CHECKING:
    from rlm_agent.activity import Activity

__all__ = ["TurnRun", "Waiting"]

INLINE = 4096
NO_RECURSION = "rlm() is not available in this version; use llm() or llm_batch()"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The cell waits for sub-agents: blob keys of the chunks to send."""

    chunks: tuple[str, ...]


@dataclass(slots=True)
class _Wave:
    """The requests that the cell waits for: how each is planned, and what was asked anew."""

    requests: Mapping[int, tuple[Request, tuple[PlannedCall, ...]]]
    refusals: dict[int, str]
    asked: set[str]
    started: float


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
        self._counts: Counter[str] = Counter()
        self._wave: _Wave | None = None
        self._cells: list[CellRecord] = []
        self._outputs: list[str] = []
        self._batches: list[BatchRecord] = []
        self._lost: list[Mapping[str, Any]] = []
        self._answer: Mapping[str, Any] | None = None

    @property
    def lineage(self) -> str:
        """The turn's lineage: that of its last block."""
        return self._lineage_of(len(self.code.blocks) - 1)

    def _lineage_of(self, block: int) -> str:
        return keys.lineage(self.before, self._reply_digest, block)

    async def advance(self) -> Waiting | TurnRecord:
        """Goes on until sub-agents are needed or the turn is recorded."""
        event = None if self._wave is None else await self._answered()
        while not isinstance(event, Waiting):
            if isinstance(event, CellPaused):
                self._wave = await self._plan_wave(event)
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
        self._counts = Counter()
        entries = [await self._history_entry(self.head)] if warm and self._block == 0 and self.head else []
        return await session.execute(self.code.blocks[self._block], history=entries, unready=self._unready)

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

    # Requests of the cell

    async def _plan_wave(self, event: CellPaused) -> _Wave:
        activity = self.activity
        cell, salt = self._lineage_of(self._block), activity.run.salt
        planned = {r.id: (r, plan(r, activity.spec, cell, self._counts, salt)) for r in event.requests}
        wave = _Wave(planned, {}, set(), time.monotonic())
        for request, calls in planned.values():
            if request.kind == "llm":
                await self._admit(wave, request.id, calls)
        return wave

    async def _admit(self, wave: _Wave, request: int, calls: Sequence[PlannedCall]) -> None:
        """Decides once, and records, whether a batch fits the budget."""
        home, account = self.activity.home, self.activity.account
        specs = [keys.digest(call.spec) for call in calls]
        content = keys.digest("refusal", specs)
        refusal_key = keys.refusal_key(self._lineage_of(self._block), specs, self._counts[content], self._salt)
        self._counts[content] += 1
        known = await home.read(home.ledger.get_many, [refusal_key, *(call.key for call in calls if not call.problem)])
        if (refused := known.pop(refusal_key, None)) is not None:
            wave.refusals[request] = refused.body["text"]
            return
        new = [call.key for call in calls if not call.problem and call.key not in known]
        self.activity.results.update({key: step.body for key, step in known.items()})
        if new and (text := account.refusal(len(new))) is not None:
            await self.activity.record(self._step(refusal_key, "refusal", {"text": text}))
            wave.refusals[request] = text
            return
        account.sub_calls += len(new)
        wave.asked.update(new)
        if new:
            tokens = sum(len(call.spec["prompt"]) for call in calls if call.key in wave.asked) // 4
            self.activity.emit("batch.started", calls=len(new), replayed=len(calls) - len(new), tokens=tokens, usd=None)

    @property
    def _salt(self) -> str:
        return self.activity.run.salt

    def _step(self, key: str, kind: Any, body: dict[str, Any]) -> StepRecord:
        activity = self.activity
        run, question = activity.run.id, activity.question.number
        return StepRecord(key, run, question, self.number, kind, "", body, at=time.time())

    async def _answered(self) -> CellEvent | Waiting:
        """Hands the answers to the cell, or names the chunks that are still to be asked."""
        wave = self._wave
        assert wave is not None
        missing = await self._missing(wave)
        if missing:
            blobs = self.activity.home.blobs
            return Waiting(tuple([await blobs.put(pack(chunk)) for chunk in chunks(missing)]))
        replies = {id_: await self._reply(wave, id_, *planned) for id_, planned in wave.requests.items()}
        self._count_batches(wave, replies)
        self._wave = None
        session = self._session
        assert session is not None
        return await session.answer(replies)

    async def _missing(self, wave: _Wave) -> list[PlannedCall]:
        home, results = self.activity.home, self.activity.results
        needed = [
            call
            for id_, (request, calls) in wave.requests.items()
            if request.kind == "llm" and id_ not in wave.refusals
            for call in calls
            if not call.problem and call.key not in results
        ]
        found = await home.read(home.ledger.get_many, [call.key for call in needed]) if needed else {}
        results.update({key: step.body for key, step in found.items()})
        return [call for call in needed if call.key not in results]

    async def _reply(self, wave: _Wave, id_: int, request: Request, calls: Sequence[PlannedCall]) -> Any:
        if request.kind == "function":
            return await self._function(request)
        if request.kind == "rlm":
            return [failed_slot(NO_RECURSION) for _ in request.calls]
        if id_ in wave.refusals:
            return {"refused": wave.refusals[id_]}
        results = self.activity.results
        return [failed_slot(call.problem) if call.problem else results.pop(call.key) for call in calls]

    async def _function(self, request: Request) -> dict[str, Any]:
        """A host function's result: recorded before the cell sees it, taken from the record when there is one."""
        spec = {"function": request.name, "args": list(request.args), "kwargs": dict(request.kwargs)}
        content = keys.digest(spec)
        key = keys.call_key(self._lineage_of(self._block), {"input": content}, self._counts[content], self._salt)
        self._counts[content] += 1
        home = self.activity.home
        if (known := await home.read(home.ledger.get, key)) is not None:
            return known.body
        function = self.activity.spec.repl_functions.get(request.name)
        if function is None:
            return {"ok": False, "error": f"NameError: no host function is named {request.name!r}"}
        result = await call_function(function, request.args, request.kwargs)
        return (await self.activity.record(self._step(key, "function", result))).body

    def _count_batches(self, wave: _Wave, replies: Mapping[int, Any]) -> None:
        seconds = round(time.monotonic() - wave.started, 3)
        for id_, (request, calls) in wave.requests.items():
            if request.kind == "function" or id_ in wave.refusals:
                continue
            failed = sum(1 for reply in replies[id_] if not reply["ok"])
            asked = sum(1 for call in calls if call.key in wave.asked)
            replayed = sum(1 for call in calls if not call.problem) - asked
            self._batches.append(BatchRecord(len(replies[id_]), failed, replayed, seconds))
            self.activity.emit("batch.finished", calls=len(replies[id_]), failed=failed, replayed=replayed)

    # The end of a cell and of the turn

    async def _ended(self, done: CellDone) -> bool:
        """Takes in a cell's end. Returns True when the turn is over."""
        activity = self.activity
        code = self.code.blocks[self._block]
        self._cells.append(CellRecord(code, done.error, round(done.seconds, 3)))
        self._outputs.append(done.output)
        self._wave = None
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
            self._counts = Counter()
            event = await session.execute(self.code.blocks[self._block], unready=self._unready)
            while isinstance(event, CellPaused):
                event = await self._replayed(session, event)
        self._block = block
        return session

    async def _replayed(self, session: Session, event: CellPaused) -> CellEvent:
        self._wave = wave = await self._plan_wave(event)
        for call in await self._missing(wave):
            self.activity.results[call.key] = failed_slot("not recorded when the worker was replaced")
        replies = {id_: await self._reply(wave, id_, *planned) for id_, planned in wave.requests.items()}
        self._wave = None
        return await session.answer(replies)

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
        activity.emit("answer.updated", ready=bool(answer["ready"]), content=_preview(answer["content"]))
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
