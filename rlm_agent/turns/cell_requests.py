"""What one cell asks of the host: planned, answered from the ledger, or named as still to be asked.

Invariant: a cell that runs again asks under the same keys, since identical requests are counted from its start; every
outcome it is handed was recorded before.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm_agent import keys
from rlm_agent.children.contexts import with_contexts
from rlm_agent.host_functions.calling import call_function, wrong_arguments
from rlm_agent.human.answers import Pending, reason
from rlm_agent.human.approvals import ASK
from rlm_agent.human.gates import answered, ask_gate, batch_gate, wrong_question
from rlm_agent.models.estimates import expected
from rlm_agent.repl.kernel import CellPaused, Request
from rlm_agent.store.records import BatchRecord, StepRecord
from rlm_agent.sub_agents.effects import acts_once, begin
from rlm_agent.sub_agents.sources import scope_of
from rlm_agent.sub_agents.sub_calls import PlannedCall, failed_slot, plan
from rlm_agent.tool_scope import in_scope

if TYPE_CHECKING:
    from rlm_agent.entries.activity import Activity

__all__ = ["CellRequests"]

NOT_RECORDED = "not on record: the cell ran otherwise before"
_ASKS = ("llm", "rlm")
"""Kinds of requests whose calls are answered by sub-agents or children."""


@dataclass(slots=True)
class _Wave:
    """The requests that the cell waits for: how each is planned, what was asked anew, what a person has to answer."""

    requests: Mapping[int, tuple[Request, tuple[PlannedCall, ...]]]
    refusals: dict[int, str]
    asked: set[str]
    started: float
    humans: dict[int, str]
    told: dict[int, dict[str, Any]]


class CellRequests:
    """The requests of one cell, wave by wave.

    Args:
        activity: where results are kept, recorded and counted.
        turn: the turn's number.
        cell: the cell's lineage.
        batches: gets a record for each answered batch.
        again: the cell ran before: it is answered from the record alone, and nothing is decided, called or counted.

    Attributes:
        unrecorded: what a cell that runs `again` asked and no record answers, in its words.
    """

    def __init__(
        self, activity: "Activity", turn: int, cell: str, batches: list[BatchRecord], *, again: bool = False
    ) -> None:
        self._activity, self._turn, self._cell, self._batches = activity, turn, cell, batches
        self._again = again
        self.unrecorded: list[str] = []
        self._counts: Counter[str] = Counter()
        self._wave: _Wave | None = None
        # Stretches of the cell that have ended, and whether the clock of the one after them is on record.
        self._stretch, self._known = 0, False

    @property
    def waiting(self) -> bool:
        """Whether the cell waits for answers."""
        return self._wave is not None

    @property
    def seed(self) -> str:
        """Of the random bytes that the cell draws."""
        return keys.cell_seed(self._cell, self._salt)

    async def clock(self) -> Sequence[int]:
        """What the cell read of the clock in the stretch that begins now, where it ran before."""
        home = self._activity.home
        step = await home.read(home.ledger.get, keys.clock_key(self._cell, self._stretch, self._salt))
        self._known = step is not None
        return step.body["readings"] if step else ()

    async def end_stretch(self, readings: Sequence[int]) -> None:
        """Records what the cell read of the clock, before anything that depends on it is sent or shown."""
        if readings and not self._known and not self._again:
            key = keys.clock_key(self._cell, self._stretch, self._salt)
            await self._activity.record(self._step(key, "clock", {"readings": list(readings)}))
        self._stretch += 1

    async def plan(self, event: CellPaused) -> None:
        """Plans what the cell waits for, and decides whether it fits the budget."""
        await self.end_stretch(event.readings)
        activity = self._activity
        requests = [await with_contexts(activity, request) for request in event.requests]
        planned = {r.id: (r, plan(r, activity.spec, self._cell, self._counts, self._salt)) for r in requests}
        self._wave = wave = _Wave(planned, {}, set(), time.monotonic(), {}, {})
        for request, calls in planned.values():
            if request.kind in _ASKS:
                await self._admit(wave, request.id, calls)
            elif request.kind == "function" and request.name == ASK and activity.spec.approvals.ask:
                await self._ask(wave, request)

    async def missing(self) -> list[PlannedCall]:
        """The sub-calls that no record answers yet."""
        home, results, wave = self._activity.home, self._activity.results, self._current
        needed = [
            call
            for id_, (request, calls) in wave.requests.items()
            if request.kind in _ASKS and id_ not in wave.refusals and id_ not in wave.humans
            for call in calls
            if not call.problem and call.key not in results
        ]
        found = await home.read(home.ledger.get_many, [call.key for call in needed]) if needed else {}
        results.update({key: step.body for key, step in found.items()})
        return [call for call in needed if call.key not in results and call.key not in self._activity.humans]

    def humans(self) -> tuple[str, ...]:
        """Keys of the answers that a person has to give before the cell can go on."""
        calls = [call.key for _, calls in self._current.requests.values() for call in calls]
        inner = [key for call in calls for key in self._activity.humans.get(call, ())]
        return (*self._current.humans.values(), *inner)

    async def replies(self) -> dict[int, Any]:
        """The answers, by request; the cell waits no longer."""
        wave = self._current
        replies = {id_: await self._reply(wave, id_, *planned) for id_, planned in wave.requests.items()}
        self._count_batches(wave, replies)
        self._wave = None
        return replies

    @property
    def _current(self) -> _Wave:
        assert self._wave is not None
        return self._wave

    @property
    def _salt(self) -> str:
        return self._activity.run.salt

    async def _admit(self, wave: _Wave, request: int, calls: Sequence[PlannedCall]) -> None:
        """Decides once, and records, whether a batch fits the budget."""
        home, account = self._activity.home, self._activity.account
        refusal_key = self._refusal_key(calls)
        admitted = keys.asked_key(keys.human_key(refusal_key))
        sent = [call.key for call in calls if not call.problem]
        known = await home.read(home.ledger.get_many, [refusal_key, admitted, *sent])
        if (refused := known.pop(refusal_key, None)) is not None:
            wave.refusals[request] = refused.body["text"]
            return
        # What was admitted before it came to a person's word is not refused when the person has given it.
        fits = known.pop(admitted, None) is not None
        new = {key for key in sent if key not in known}
        self._activity.results.update({key: step.body for key, step in known.items()})
        if self._again:
            self._leave_out([call for call in calls if call.key in new])
            return
        # A batch of which anything is on record was let through by an earlier entry: it is not judged again.
        asked = [call.spec for call in calls if call.key in new]
        estimate = expected(account, asked, self._activity.spec.models, self._activity.spec.sub)
        if new and not fits and (text := account.refusal(len(new), None if known else estimate)) is not None:
            await self._refuse(wave, request, refusal_key, text)
            return
        if new and not await self._approved(wave, request, refusal_key, [c for c in calls if c.key in new]):
            return
        account.sub_calls += len(new)
        wave.asked.update(new)
        if new:
            replayed, usd = len(calls) - len(new), estimate.usd
            self._activity.emit("batch.started", calls=len(new), replayed=replayed, tokens=estimate.tokens, usd=usd)
            self._activity.warn()

    async def _refuse(self, wave: _Wave, request: int, key: str, text: str) -> None:
        await self._activity.record(self._step(key, "refusal", {"text": text}))
        wave.refusals[request] = text

    async def _approved(self, wave: _Wave, request: int, refusal_key: str, new: Sequence[PlannedCall]) -> bool:
        """Whether the new calls of a batch may be sent as far as a person has a say in it."""
        decision = await batch_gate(self._activity, self._turn, refusal_key, new)
        if isinstance(decision, Pending):
            wave.humans[request] = decision.key
        elif decision["type"] == "reject":
            text = f"a person refused this batch, and nothing was sent{reason(decision)}"
            await self._refuse(wave, request, refusal_key, text)
        return request not in wave.humans and request not in wave.refusals

    async def _ask(self, wave: _Wave, request: Request) -> None:
        """Puts a call of `ask_human` to a person, unless it was answered."""
        key = self._function_key(request)
        known = await self._activity.home.read(self._activity.home.ledger.get, key)
        wave.told[request.id] = {"ok": False, "error": NOT_RECORDED} if known is None else known.body
        if known is not None:
            return
        if self._again:
            self.unrecorded.append(f"{request.name}(...)")
            return
        error = wrong_question(request)
        decision = None if error else await ask_gate(self._activity, self._turn, key, request)
        if isinstance(decision, Pending):
            wave.humans[request.id] = decision.key
            return
        told = {"ok": False, "error": error} if decision is None else answered(decision)
        wave.told[request.id] = (await self._activity.record(self._step(key, "function", told))).body

    def _leave_out(self, calls: Sequence[PlannedCall]) -> None:
        """Calls that are not on record, in a cell that is only run again."""
        for call in calls:
            self.unrecorded.append(str(call.spec["prompt"]))
            self._activity.results[call.key] = failed_slot(NOT_RECORDED)

    def _refusal_key(self, calls: Sequence[PlannedCall]) -> str:
        specs = [keys.digest(call.spec) for call in calls]
        return keys.refusal_key(self._cell, specs, self._count(keys.digest("refusal", specs)), self._salt)

    def _count(self, content: str) -> int:
        """How many identical requests came before, in this cell."""
        self._counts[content] += 1
        return self._counts[content] - 1

    def _step(self, key: str, kind: Any, body: dict[str, Any]) -> StepRecord:
        run, question = self._activity.run.id, self._activity.question.number
        return StepRecord(key, run, question, self._turn, kind, "", body, at=time.time())

    async def _reply(self, wave: _Wave, id_: int, request: Request, calls: Sequence[PlannedCall]) -> Any:
        if id_ in wave.told:
            return wave.told[id_]
        if request.kind == "function":
            return await self._function(request)
        if id_ in wave.refusals:
            return {"refused": wave.refusals[id_]}
        results = self._activity.results
        return [failed_slot(call.problem) if call.problem else results.pop(call.key) for call in calls]

    async def _function(self, request: Request) -> dict[str, Any]:
        """A host function's result: recorded before the cell sees it, taken from the record when there is one."""
        key, home = self._function_key(request), self._activity.home
        if (known := await home.read(home.ledger.get, key)) is not None:
            return known.body
        if self._again:
            self.unrecorded.append(f"{request.name}(...)")
            return {"ok": False, "error": NOT_RECORDED}
        function = self._activity.spec.repl_functions.get(request.name)
        if function is None:
            return {"ok": False, "error": f"NameError: no host function is named {request.name!r}"}
        result = await self._result(key, function, request)
        return (await self._activity.record(self._step(key, "function", result))).body

    def _function_key(self, request: Request) -> str:
        spec = {"function": request.name, "args": list(request.args), "kwargs": dict(request.kwargs)}
        content = keys.digest(spec)
        return keys.call_key(self._cell, {"input": content}, self._count(content), self._salt)

    async def _result(self, key: str, function: Callable[..., Any], request: Request) -> dict[str, Any]:
        """Calls the function, unless it does not take these arguments, or acts once and was begun before."""
        error = wrong_arguments(function, request.args, request.kwargs)
        if error is None and acts_once(function):
            error = await begin(self._activity, key, self._turn, request.name)
        if error is not None:
            return {"ok": False, "error": error}
        with in_scope(await scope_of(self._activity)):
            return await call_function(function, request.args, request.kwargs)

    def _count_batches(self, wave: _Wave, replies: Mapping[int, Any]) -> None:
        seconds = round(time.monotonic() - wave.started, 3)
        for id_, (request, calls) in wave.requests.items():
            if request.kind == "function" or id_ in wave.refusals:
                continue
            failed = sum(1 for reply in replies[id_] if not reply["ok"])
            asked = sum(1 for call in calls if call.key in wave.asked)
            replayed = sum(1 for call in calls if not call.problem) - asked
            self._batches.append(BatchRecord(len(replies[id_]), failed, replayed, seconds))
            self._activity.emit("batch.finished", calls=len(replies[id_]), failed=failed, replayed=replayed)
