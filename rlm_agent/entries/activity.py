"""What is alive while one entry works on one question: the lease, the account, the REPL session, the turns read so far.

Invariant: an `Activity` is only a cache over the home. It owns nothing that a kill could lose, and is made anew from
`rlm_run` and `rlm_head` wherever a node finds none.
"""

import asyncio
import contextvars
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer

from rlm_agent import keys
from rlm_agent.budget import Account, raised
from rlm_agent.crash_points import reach
from rlm_agent.entries.entry import ENTRY_KEY, Entry
from rlm_agent.entries.shared import Shared
from rlm_agent.errors import ConfigError, HomeError, LeaseHeld, RLMError
from rlm_agent.events import Events, EventType
from rlm_agent.keys import place_of
from rlm_agent.spec import AgentSpec
from rlm_agent.store.extensions import Extension
from rlm_agent.store.home import Home
from rlm_agent.store.leases import Fence, Lease
from rlm_agent.store.notes import Note
from rlm_agent.store.records import QuestionRecord, RunRecord, StepRecord, TurnRecord

if TYPE_CHECKING:
    from rlm_agent.turns.end import PendingTurn
    from rlm_agent.turns.running import TurnRun
    from rlm_agent.web_addresses import WebAddresses

__all__ = ["Activities", "Activity", "lease_wait", "place_of"]

LEASE_WAIT = 20.0
# How long an entry that ends waits for a snapshot that is being written.
SETTLE_SECONDS = 10.0
_wait: contextvars.ContextVar[float | None] = contextvars.ContextVar("rlm_lease_wait", default=None)


@contextmanager
def lease_wait(seconds: float) -> Iterator[None]:
    """Entries made within wait so many seconds for the run's owner to end, in place of 20; `math.inf`: for ever."""
    token = _wait.set(seconds)
    try:
        yield
    finally:
        _wait.reset(token)


class Activity:
    """One entry's work on one question.

    Attributes:
        chain: the turns from the run's first to the head, oldest first.
        depth: 0 of a run that a person asked, 1 of its children, and so on.
        role: on whose account the root's replies are: a child's are sub-calls.
        shared: what the run and its children work on together.
        complaints: what checks said, by the lineage of the turn.
        notes: all notes of the run.
        extensions: bounds of the question raised since it was asked.
        results: bodies of sub-calls recorded in this process and not yet handed to the cell, by key.
        asked: a person was asked in this question before; what was asked stands, whatever this agent's `interrupt_on`.
        humans: keys of the answers that a sub-call waits for from a person, by the key of the sub-call.
        tool_agents: compiled sub-agents, by model and tools.
        addresses: what tools of this run may open, once one was asked; a child's are its parent's.
        turn: the turn that is being run, its cell perhaps waiting; None between turns.
        pending: the turn at the chain's end, where its snapshot is still being written.
        resume: the caller gave no input: the thread's unfinished question is meant.
        loaded_head: the turn that the loaded checkpoint named, where the run itself tells where it stands.
    """

    depth = 0
    role: Literal["root", "sub"] = "root"

    def __init__(self, spec: AgentSpec, entry: Entry, home: Home, shared: Shared | None = None) -> None:
        self.spec, self.entry, self.home = spec, entry, home
        self.shared = shared or Shared(spec.limits)
        self.chain: list[TurnRecord] = []
        self.complaints: dict[str, str] = {}
        self.notes: list[Note] = []
        self.extensions: list[Extension] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.asked = False
        self.humans: dict[str, tuple[str, ...]] = {}
        self.turn: TurnRun | None = None
        self.pending: PendingTurn | None = None
        self.tool_agents: dict[Any, Any] = {}
        self.addresses: WebAddresses | None = None
        self.account = Account(spec.budget)
        self.resume = False
        self.loaded_head: str | None = None
        self._attaching = asyncio.Lock()
        self._entered = False
        self._working: set[asyncio.Task[Any]] = set()
        self._lease: Lease | None = None
        self._run: RunRecord | None = None
        self._question: QuestionRecord | None = None
        self._events: Events | None = None
        self._write: Callable[[Any], None] | None = None

    @property
    def run(self) -> RunRecord:
        """The run; an error before `attach`."""
        assert self._run is not None
        return self._run

    @property
    def question(self) -> QuestionRecord:
        """The question; an error before `attach`."""
        assert self._question is not None
        return self._question

    @property
    def fence(self) -> Fence | None:
        """What every write of this entry is fenced by."""
        return None if self._lease is None else self._lease.fence

    @property
    def top(self) -> "Activity":
        """The activity of the run that a person asked: this one, unless it is a child's."""
        return self

    @property
    def number(self) -> int:
        """The turn that the last event was about."""
        return 0 if self._events is None else self._events.turn

    @property
    def turns_used(self) -> int:
        """Finished turns of this question."""
        return sum(1 for turn in self.chain if turn.question == self.question.number)

    async def resumes(self, run: RunRecord, question: QuestionRecord) -> None:
        """Notes that this entry goes on with a question, with bounds as they are by now; `prepare` takes it up."""
        self.resume = True
        self.account.budget = raised(self.spec.budget, await self._extensions_of(run.id, question.number))

    async def lease(self, place: str) -> None:
        """Becomes the owner of a place, or raises LeaseHeld naming the one who is."""
        if self._lease is not None:
            return
        try:
            seconds = _wait.get()
            self._lease = await self.home.leases.acquire(place, wait=LEASE_WAIT if seconds is None else seconds)
        except LeaseHeld as error:
            thread, name = self.entry.thread, self.spec.name
            raise LeaseHeld(f"Thread {thread!r} of the agent {name!r} is being worked on. {error}") from error
        reach("lease.taken")

    async def attach(self, run: RunRecord, question: QuestionRecord) -> None:
        """Takes up a question: fills the account from the ledger and reads the notes."""
        self._run, self._question = run, question
        self._events = Events(run.id)
        self.account = Account(self.spec.budget, seconds_before=question.active_seconds)
        for row in await self.home.read(self.home.ledger.usage, run.id, question.number):
            self.account.add(row)
        self.account.sub_calls = await self.home.read(self.home.ledger.count, run.id, "slot", question.number)
        self.asked = await self.home.read(self.home.ledger.count, run.id, "human", question.number) > 0
        self.notes = await self.home.read(self.home.notes.list, run.id)
        await self.load_extensions()

    def exhausted(self) -> str | None:
        """The bound that forbids one more reply of the root, or None."""
        return self.account.exhausted("root", self.turns_used)

    def left_line(self, turns: int) -> str:
        """What is left of the budget after so many turns, for the root."""
        return self.account.left_line(turns)

    async def usage(self) -> dict[str, Any]:
        """What the question has used, its children included, see `Account.report`."""
        return self.account.report()

    async def load_extensions(self) -> None:
        """Reads by how much the question's bounds were raised, which may happen while it is worked on."""
        self.extensions = await self._extensions_of(self.run.id, self.question.number)
        self.account.budget = raised(self.spec.budget, self.extensions)

    async def _extensions_of(self, run: str, question: int) -> list[Extension]:
        return await self.home.read(self.home.extensions.list, run, question)

    async def attach_state(self, state: Mapping[str, Any]) -> None:
        """Takes up the question that the state names, where `prepare` did not run in this entry."""
        async with self._attaching:  # several tasks of one step may be the first
            if self._run is None:
                await self._attach_state(state)

    async def _attach_state(self, state: Mapping[str, Any]) -> None:
        reference = state["rlm_run"]
        if reference["home"] != self.home.id:
            raise ConfigError(
                f"This thread's run lives in the home {reference['home']}, but the agent was given the home "
                f"{self.home.id} at {self.home.path}. Create the agent with the home that the run was made in."
            )
        run = await self.home.read(self.home.runs.get, reference["run"])
        if run.removed:
            raise ConfigError(f"The run {run.id} was removed from the home {self.home.path}: use a new thread.")
        await self.lease(place_of(run))
        question = await self.home.read(self.home.runs.question, run.id, reference["question"])
        await self.attach(run, question)

    async def stand(self, head: str | None) -> None:
        """Entered at an older checkpoint, the run stands where this entry does, not where it stood before."""
        if self.entry.checkpoint:
            await self.home.runs.stand(self.run.id, self.question.number, head, self.fence)

    async def load_chain(self, head: str | None) -> None:
        """Reads the turns up to `head`, those of the runs that this one was forked from included."""
        whole = self.chain[:-1] if self.pending is not None else self.chain
        if self.chain and (whole[-1].id if whole else None) == head:
            return
        await self.stand(head)
        self.pending = None
        self.chain = [] if head is None else await self.home.read(self.home.turns.chain, head)
        await self._load_complaints()
        if not self._entered:
            self._entered = True
            self.account.newly_low(self.turns_used)  # an earlier entry has said it

    def pend(self, pending: "PendingTurn") -> None:
        """Takes in a turn that is whole but for its snapshot: the chain goes on from it."""
        self.pending = pending
        self.chain.append(pending.record)

    async def settle(self) -> None:
        """Records the turn that was pending, once its snapshot is written."""
        pending, self.pending = self.pending, None
        if pending is not None:
            self.chain.pop()
            self.chain.append(await pending.settle())

    async def _load_complaints(self) -> None:
        asked = {keys.check_key(turn.lineage): turn.lineage for turn in self.chain if turn.answer.get("ready")}
        found = await self.home.read(self.home.ledger.get_many, list(asked))
        self.complaints = {asked[key]: step.body["complaint"] for key, step in found.items() if step.body["complaint"]}

    async def record(self, step: StepRecord) -> StepRecord:
        """Records a step durably, then counts it; the first record of a key stands.

        Raises:
            HomeError: it could not be recorded; what was paid for it is named.
        """
        try:
            stored = await self.home.ledger.record(step, self.fence)
        except HomeError as error:
            if step.calls:
                raise type(error)(f"{error} {_paid_in_vain(step)}") from error
            raise
        self.account.add(stored)
        if stored.calls:
            self.warn()
        return stored

    def warn(self) -> None:
        """Says of each bound once that most of it is spent."""
        for bound, spent, most in self.account.newly_low(self.turns_used):
            self.emit("budget.low", bound=bound, spent=spent, of=most)

    def aside(self, run: RunRecord, question: QuestionRecord, chain: Sequence[TurnRecord]) -> "Activity":
        """Another one of the same entry that says nothing and owns nothing, for turns that are run again."""
        other = Activity(self.spec, self.entry, self.home)
        other._run, other._question, other.chain = run, question, list(chain)
        return other

    def emit(self, type_: EventType, **data: Any) -> None:
        """Streams one event of this entry."""
        if self._events is not None:
            self._events.turn = data.pop("number", self._events.turn)
            self._events.emit(self._write or get_stream_writer(), type_, **data)

    @contextmanager
    def working(self) -> Iterator[None]:
        """While a node works: `cancel` reaches its task."""
        task = asyncio.current_task()
        assert task is not None
        self._working.add(task)
        # A sub-agent's own graph has another writer, which leads nowhere.
        self._write = get_stream_writer()
        try:
            yield
        finally:
            self._working.discard(task)

    def cancel(self, after: float) -> None:
        """Cancels the nodes at work, from any thread, unless they end within `after` seconds."""
        for task in list(self._working):
            task.get_loop().call_soon_threadsafe(_cancel_later, task, after)

    async def close(self) -> None:
        """Ends the worker, writes the time worked, gives the lease back. The run can be entered again."""
        try:
            with suppress(RLMError, TimeoutError):  # what is not whole by then is run again, against the record
                async with asyncio.timeout(SETTLE_SECONDS):
                    await self.settle()
        finally:
            await self._end_session()

    async def _end_session(self) -> None:
        try:
            if self.turn is not None:
                await self.turn.close()
        finally:
            self.turn = None
            lease, self._lease = self._lease, None
            if lease is not None:
                await self._leave(lease)

    async def _leave(self, lease: Lease) -> None:
        try:
            if self._question is not None:
                seconds = self.account.seconds
                runs, question = self.home.runs, self.question
                await runs.set_question(question.run, question.number, lease.fence, active_seconds=seconds)
        except RLMError:
            pass  # the time worked is bookkeeping; a lost lease was reported by the write that needed it
        finally:
            reach("lease.leaving")
            with suppress(HomeError):  # the home is full or locked, which was reported; the lease runs out by itself
                await lease.release()


def _paid_in_vain(step: StepRecord) -> str:
    tokens = step.input_tokens + step.output_tokens
    return (
        f"A reply of {step.model} ({tokens:,} tokens) had come and could not be recorded: it is lost, and is asked for "
        "again, with whatever else was on its way, when the run is resumed."
    )


def _cancel_later(task: asyncio.Task[Any], after: float) -> None:
    task.get_loop().call_later(after, task.cancel)


class Activities:
    """The activities of one agent in this process, by entry."""

    def __init__(self) -> None:
        self._open: dict[str, Activity] = {}

    def add(self, activity: Activity) -> None:
        """Makes an activity findable by its entry's nodes."""
        self._open[activity.entry.id] = activity

    def remove(self, entry: str) -> Activity | None:
        """Forgets an entry."""
        return self._open.pop(entry, None)

    def of(self, config: RunnableConfig) -> Activity:
        """The activity of the entry that this node runs in."""
        return self._open[config["configurable"][ENTRY_KEY]]
