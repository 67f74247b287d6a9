"""What the nodes need of a REPL, whoever runs it: the `Kernel` and `Session` protocols and their plain values.

A kernel starts sessions; a session is one namespace in one worker. The host side never unpickles: a snapshot is
opaque bytes, everything else is plain msgpack data. Restoring, answering and executing are the session's; keys, ledger,
budget and models are not its business.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = [
    "MOST_READINGS",
    "Bindings",
    "CellDone",
    "CellEvent",
    "CellPaused",
    "ContextSource",
    "ErrorKind",
    "Kernel",
    "Request",
    "Session",
    "Snapshot",
    "SnapshotSource",
]

MOST_READINGS = 100_000
"""Readings of the clock between two requests of a cell that are recorded; a cell may read it more often."""

ErrorKind = Literal["exception", "interrupted", "killed", "died"]


@dataclass(frozen=True, slots=True)
class ContextSource:
    """Where the worker reads `context` from: a file that the host opens and passes as a descriptor.

    Attributes:
        kind: "text" (the whole file is one str), "files" (a dict name -> str, cut out by `index`),
            "json" (the file is msgpack of a list or dict).
        index: ((name, byte offset, byte length), ...) for "files".
    """

    kind: Literal["text", "files", "json"]
    path: Path
    index: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Bindings:
    """What the host binds in a fresh or restored namespace.

    Attributes:
        task: the last human message, whole.
        messages: earlier conversation, [{"role", "content"}, ...].
        history: one dict a turn: {"turn", "code", "output", "error", "batches"}.
        context: None binds `context = None`.
        functions: names of host functions.
        code: sources of Python modules whose public functions are bound; trusted, and run before any cell.
        sub_calls: False hides `llm_batch` and all its relatives (max_depth 0).
        seed: for `random` and numpy in a namespace that is not restored.
        fresh_answer: True resets `answer` (a new question).
    """

    task: str
    messages: Sequence[Mapping[str, Any]] = ()
    history: Sequence[Mapping[str, Any]] = ()
    context: ContextSource | None = None
    functions: Sequence[str] = ()
    code: Sequence[str] = ()
    sub_calls: bool = True
    seed: int = 0
    fresh_answer: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the cell that only the host can answer.

    Attributes:
        id: unique within the cell; the answer names it.
        kind: "llm" and "rlm" carry `calls`; "function" carries `name`, `args`, `kwargs`.
        calls: one dict a call: {"prompt": str, and any of "model", "tools", "schema", "system", "max_turns",
            "timeout"}; plain data, types unchecked. Of "rlm" also "context", a str, list or dict of plain data which
            calls may share, or "same_context": True for the session's own context.
    """

    id: int
    kind: Literal["llm", "rlm", "function"]
    calls: tuple[Mapping[str, Any], ...] = ()
    name: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CellPaused:
    """The cell waits for answers to these requests (those of several threads travel together).

    Attributes:
        readings: what it read of the clock since it began or was last answered: nanoseconds since the epoch.
    """

    requests: tuple[Request, ...]
    readings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CellDone:
    """The cell ended.

    Attributes:
        output: what it printed and its last expression, in order, capped by the worker with a marker.
        error: traceback of the cell's own code, or one line for a killed worker; None when it did not fail.
        error_kind: "interrupted" (time limit or `interrupt`, namespace kept), "killed" and "died" (the worker is gone).
        seconds: running time without waiting for answers.
        answer: {"content": JSON value or str, "ready": bool}; None when the worker is gone.
        readings: as those of CellPaused; none when the worker is gone.
    """

    output: str
    error: str | None = None
    error_kind: ErrorKind | None = None
    seconds: float = 0.0
    answer: Mapping[str, Any] | None = None
    readings: tuple[int, ...] = ()


CellEvent = CellPaused | CellDone


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole namespace as it differs from what this session saved or was started from before.

    Attributes:
        manifest: the root, which names all leaves; see `manifest.py`.
        new: leaf by key (BLAKE3 of its bytes, hexadecimal) that the session has not given or taken yet.
        variables: {"name", "type", "size_bytes", "shape", "preview", "lost"} each.
        lost: {"name", "type", "why"} of those that the snapshot could not hold.
        seconds: the worker's time.
    """

    manifest: bytes
    new: Mapping[str, bytes]
    variables: tuple[Mapping[str, Any], ...]
    lost: tuple[Mapping[str, Any], ...]
    seconds: float

    @property
    def size(self) -> int:
        """Bytes to be written."""
        return len(self.manifest) + sum(map(len, self.new.values()))


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """A snapshot to start from: its manifest, and a blocking function that reads a leaf by its key."""

    manifest: bytes
    read: Callable[[str], bytes]


class Session(Protocol):
    """One namespace in one worker. Not for concurrent use; every method raises KernelError when the worker is gone,
    save `execute` and `answer`, which return a CellDone that says so."""

    @property
    def alive(self) -> bool: ...

    async def start(self, bindings: Bindings, snapshot: SnapshotSource | None) -> tuple[Mapping[str, Any], ...]:
        """Binds a fresh or restored namespace. What `read` of the snapshot raises ends the session and comes through.

        Returns:
            The variables that did not load: {"name", "type", "why"}.
        """

    async def execute(
        self,
        code: str,
        *,
        history: Sequence[Mapping[str, Any]] = (),
        unready: bool = False,
        seed: str = "",
        readings: Sequence[int] = (),
    ) -> CellEvent:
        """Runs one cell until it ends or needs an answer.

        Args:
            code: the cell.
            history: entries to append to `history` first.
            unready: set answer["ready"] to False first (a complaint was read).
            seed: of the random bytes that the cell draws; "": the system's.
            readings: of the clock, which a cell that ran before reads again until it asks for something.
        """

    async def answer(self, replies: Mapping[int, Any], readings: Sequence[int] = ()) -> CellEvent:
        """Goes on with a paused cell. For "llm" and "rlm" a reply is a list of dicts {"text", "ok", "error", "data",
        "sources", "usage", "model", "seconds"}, for "function" {"ok", "value"} or {"ok": False, "error"};
        {"refused": text} for any kind raises BudgetExceeded with that text in the cell. `readings` as in `execute`."""

    async def interrupt(self) -> None:
        """Stops the cell that runs, as its time limit would: the one call that is made while `execute` waits. The
        variables are kept. Between cells nothing happens."""

    async def snapshot(self) -> Snapshot:
        """The namespace. Only between cells. What it gives must be kept before the next one is taken."""

    async def close(self) -> None:
        """Ends the worker. Harmless twice."""


class Kernel(Protocol):
    """Starts sessions. `isolation` is one line for people: what confines a cell here."""

    @property
    def isolation(self) -> str: ...

    async def session(self) -> Session: ...
