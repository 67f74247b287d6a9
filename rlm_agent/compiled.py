"""The compiled graph that users hold: LangGraph's, entered through one door.

Invariant: every entry (invoke, stream, their async forms, a subgraph's) goes through `stream` or `astream` here, which
check the input before anything is written, open the entry's `Activity`, and close it whatever happens.
"""

import signal
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, Interrupt, StateSnapshot

from rlm_agent.bridge import PATIENCE, run_sync
from rlm_agent.entries.activity import Activities, Activity
from rlm_agent.entries.admission import check_answer_shape, check_secrets, is_repeated, read_input
from rlm_agent.entries.entry import ENTRY_KEY, Entry, read_entry
from rlm_agent.errors import ConfigError
from rlm_agent.settings import Budget
from rlm_agent.spec import AgentSpec
from rlm_agent.store.home import Home
from rlm_agent.store.records import QuestionRecord, RunRecord

__all__ = ["RLMGraph", "step_limit"]

_CARRIED = ("_serde_allowlist", "_output_mapper", "_state_mapper")


class RLMGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """A `CompiledStateGraph` whose runs live in a durable home. Made by `create_rlm_agent`."""

    def __init__(self, *, spec: AgentSpec, activities: Activities, **kwargs: Any) -> None:
        carried = {name: kwargs.pop(name, None) for name in _CARRIED}
        super().__init__(**kwargs)
        self.spec = spec
        self.activities = activities
        for name, value in carried.items():
            setattr(self, name, value)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """LangGraph's `stream`, with the question looked up or recorded first. See `create_rlm_agent`."""
        entry = self._enter(input, config)
        waiting = _waiting(super().get_state(config or {})) if self._may_wait(entry) else ()
        activity, given = run_sync(lambda: self._open(entry, input, waiting))
        config = self._entry_config(config, entry, activity.account.budget)
        kwargs = self._visible(entry, kwargs)
        if not entry.embedded:
            kwargs["control"] = kwargs.get("control") or RunControl()
        try:
            with _stopped_by_ctrl_c(activity, kwargs.get("control")):
                yield from super().stream(given, config, **kwargs)
        finally:
            self.activities.remove(entry.id)
            run_sync(activity.close)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """The async form of `stream`."""
        entry = self._enter(input, config)
        waiting = _waiting(await super().aget_state(config or {})) if self._may_wait(entry) else ()
        activity, given = await self._open(entry, input, waiting)
        config = self._entry_config(config, entry, activity.account.budget)
        kwargs = self._visible(entry, kwargs)
        try:
            async for part in super().astream(given, config, **kwargs):
                yield part
        finally:
            self.activities.remove(entry.id)
            await activity.close()

    def update_state(self, config: RunnableConfig, values: Any, *args: Any, **kwargs: Any) -> RunnableConfig:
        """LangGraph's `update_state`, for `messages` only."""
        _only_messages(values)
        return super().update_state(config, values, *args, **kwargs)

    async def aupdate_state(self, config: RunnableConfig, values: Any, *args: Any, **kwargs: Any) -> RunnableConfig:
        """The async form of `update_state`."""
        _only_messages(values)
        return await super().aupdate_state(config, values, *args, **kwargs)

    def _enter(self, input: Any, config: RunnableConfig | None) -> Entry:
        entry = read_entry(config, self.config, self.checkpointer)
        if self.spec.approvals and not entry.durable:
            raise ConfigError(
                "interrupt_on needs a checkpointer, since a run that waits for a person is gone on with later: give "
                "create_rlm_agent(checkpointer=...), or compile the parent with one."
            )
        check_secrets(merge_configs(self.config, config), embedded=entry.embedded)
        return entry

    def _may_wait(self, entry: Entry) -> bool:
        """Whether the thread may wait for a person, be it as another agent asked, and its checkpoint is ours to see."""
        standalone = entry.thread is not None and not (entry.embedded or entry.checkpoint or entry.rebuild)
        return standalone and entry.durable

    async def _open(self, entry: Entry, input: Any, waiting: Sequence[Interrupt]) -> tuple[Activity, Any]:
        """Opens the entry's activity and reads its input; None standalone means: resume what the home knows of.

        Where the thread waits for a person, None and the same input are LangGraph's resume: the same interrupts again.
        """
        home = self.spec.open_home()
        activity = Activity(self.spec, entry, home)
        if isinstance(input, Command):
            if input.resume is not None and waiting:
                check_answer_shape(input.resume, waiting)
        elif isinstance(input, Mapping):
            input = await read_input(self.spec, home, entry, input)
            if waiting and await is_repeated(self.spec, home, entry, input):
                input = None
        elif input is None and not waiting and (found := await _resumed(self.spec, home, entry)) is not None:
            await activity.resumes(*found)
            input = {"messages": []}
        self.activities.add(activity)
        return activity, input

    def _entry_config(self, config: RunnableConfig | None, entry: Entry, budget: Budget) -> RunnableConfig:
        given: dict[str, Any] = dict(config or {})
        own = None if entry.embedded else given.get("recursion_limit", (self.config or {}).get("recursion_limit"))
        limit = own if own is not None else step_limit(budget)
        configurable = {**(given.get("configurable") or {}), ENTRY_KEY: entry.id}
        return RunnableConfig(**{**given, "configurable": configurable, "recursion_limit": limit})  # type: ignore[typeddict-item]

    def _visible(self, entry: Entry, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Streams the output schema only, unless the caller names channels."""
        if kwargs.get("output_keys") is None:
            kwargs["output_keys"] = self.output_channels
        return kwargs


def _waiting(state: StateSnapshot) -> tuple[Interrupt, ...]:
    """The interrupts of a thread that have no answer; none where anything else is to be done, too."""
    return state.interrupts if state.next and set(state.next) == {"approve"} else ()


async def _resumed(spec: AgentSpec, home: Home, entry: Entry) -> tuple[RunRecord, QuestionRecord] | None:
    """The run that an entry without input is about; None: it is LangGraph's to resume."""
    if entry.embedded or entry.checkpoint or entry.thread is None:
        return None
    await home.read(home.open)
    return await home.read(home.runs.newest, entry.thread, "", spec.name)


def _only_messages(values: Any) -> None:
    names = [name for name in values if name != "messages"] if isinstance(values, Mapping) else []
    if names:
        raise ConfigError(
            f"update_state takes 'messages' only, not {names[0]!r}: the run's own channels name recorded turns, "
            "and changing them by hand would part the state from the namespace it belongs to."
        )


def step_limit(budget: Budget) -> int:
    """LangGraph steps that a question within this budget can need: four a turn, two a sub-call, and the ends."""
    if budget.turns is None or budget.sub_calls is None:
        return 10**6
    return 20 + 4 * budget.turns + 2 * budget.sub_calls


@contextmanager
def _stopped_by_ctrl_c(activity: Activity, control: RunControl | None) -> Iterator[None]:
    """Lets Ctrl-C reach work that LangGraph waits for in threads of its own.

    No call is begun any more; those on their way have a moment to be answered and recorded, then they are cancelled.
    Only where Python's own handler is in place, in the main thread; a host's handler is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if control is not None:
            control.request_drain("interrupted")
        activity.cancel(after=PATIENCE)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handler:
            signal.signal(signal.SIGINT, before)
