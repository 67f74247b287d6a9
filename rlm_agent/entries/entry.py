"""One entry into an agent's graph, read from LangGraph's config: who calls, on which thread, from which task.

Nothing is looked up or written here; how often a task has entered is counted in memory.
"""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

__all__ = ["ENTRY_KEY", "REBUILD_KEY", "SUB_TOKENS_KEY", "Entry", "agent_path", "read_entry"]

ENTRY_KEY = "__rlm_entry"
REBUILD_KEY = "rlm_rebuild"
SUB_TOKENS_KEY = "rlm_sub_tokens"
_TASK = "__pregel_task_id"
_COORDINATES = ("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map")


@dataclass(frozen=True, slots=True)
class Entry:
    """Who entered.

    Attributes:
        id: of this entry; the nodes find its `Activity` by it.
        thread: LangGraph's thread id, or None.
        embedded: the graph runs as a task of another.
        persistent: embedded with `checkpointer=True`: one run for all visits.
        durable: a checkpointer keeps the thread between questions.
        checkpoint: an older checkpoint was named: LangGraph's time travel.
        rebuild: snapshots that cannot be restored are made again from the record first.
        task: langgraph_step and langgraph_path of the calling task, as text; "" standalone. A further call by the same
            attempt of that task has a number; a retry begins again, so that it finds what was paid.
    """

    thread: str | None
    embedded: bool
    persistent: bool
    durable: bool
    checkpoint: bool
    task: str
    rebuild: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def read_entry(config: RunnableConfig | None, own: RunnableConfig | None, checkpointer: Any) -> Entry:
    """Reads the config that a caller gave, as LangGraph will: what a parent task passes on included."""
    given = {**((own or {}).get("configurable") or {}), **((config or {}).get("configurable") or {})}
    ambient = ensure_config(None)
    inherited = {} if any(given.get(key) for key in _COORDINATES) else dict(ambient.get("configurable") or {})
    configurable = {**inherited, **given}
    embedded = _TASK in configurable
    metadata = {**(ambient.get("metadata") or {}), **((config or {}).get("metadata") or {})}
    thread = configurable.get("thread_id")
    saver = checkpointer or (checkpointer is not False and configurable.get("__pregel_checkpointer"))
    return Entry(
        thread=None if thread is None else str(thread),
        embedded=embedded,
        persistent=embedded and checkpointer is True,
        durable=bool(saver),
        checkpoint=bool(configurable.get("checkpoint_id")) and not embedded,
        task=_task_text(metadata, _VISITS.number(configurable)) if embedded else "",
        rebuild=bool(configurable.get(REBUILD_KEY)),
    )


class _Visits:
    """How many entries each attempt of a task has made. LangGraph's own number runs on over retries."""

    MOST = 4096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Keyed by the task's scratchpad, of which each execution has one; it is kept so that its id is not used again.
        self._seen: OrderedDict[tuple[int, int], tuple[Any, int]] = OrderedDict()

    def number(self, configurable: Mapping[str, Any]) -> int:
        """0 for the first entry of this attempt, 1 for the next one."""
        execution = getattr(configurable.get("__pregel_runtime"), "execution_info", None)
        scratchpad = configurable.get("__pregel_scratchpad")
        key = (id(scratchpad), getattr(execution, "node_attempt", 1))
        with self._lock:
            _, count = self._seen.pop(key, (None, 0))
            self._seen[key] = (scratchpad, count + 1)
            while len(self._seen) > self.MOST:
                self._seen.popitem(last=False)
        return count


_VISITS = _Visits()


def _task_text(metadata: Mapping[str, Any], number: int) -> str:
    path: Sequence[Any] = metadata.get("langgraph_path") or ()
    text = f"{metadata.get('langgraph_step')}:{'/'.join(map(str, path))}"
    return f"{text}#{number}" if number else text


def agent_path(checkpoint_ns: str, *, numbered: bool = True) -> str:
    """The agent path of a node's checkpoint namespace: task ids and the node's own part removed.

    Args:
        numbered: keep the number that LangGraph gives a task's further calls of a graph.
    """
    parts = checkpoint_ns.split("|")[:-1]
    if parts and not numbered and parts[-1].isdigit():
        parts.pop()
    return "|".join(part.split(":", 1)[0] for part in parts)
