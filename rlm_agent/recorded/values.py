"""Values of a recorded turn: converted, and tried out, in a worker restored from its snapshot.

Invariant: the host never unpickles, and the run is only read: a worker here is a throw-away copy, without sub-calls and
host functions, that ends with its look.
"""

import asyncio
import difflib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rlm_agent import keys
from rlm_agent.bridge import run_sync
from rlm_agent.errors import ConfigError, KernelError
from rlm_agent.recorded.turn_view import variables_of
from rlm_agent.recorded.value_forms import FORMS, TAKE
from rlm_agent.repl.kernel import Bindings, CellDone, CellPaused, Request, Session
from rlm_agent.repl.process import RESTORED, ProcessKernel
from rlm_agent.settings import Limits
from rlm_agent.store.home import Home
from rlm_agent.store.records import QuestionRecord, TurnRecord
from rlm_agent.turns.restoring import snapshot_after

__all__ = ["EvalResult", "RunCopy", "read_value"]

_BOUND = ("answer", "context", "history", "messages", "task")
_NO_CALLS = "this is a throw-away copy of the run: it makes no sub-calls, and pays for nothing"
_ANEW = "this copy begins anew, and what was tried in it is gone"
_SEND = "__import__('rlm_agent.recorded.value_forms', fromlist=['send']).send(globals(), {name!r}, {form!r})"


@dataclass(frozen=True, slots=True)
class EvalResult:
    """What code printed, its last expression included, and the traceback that ended it, or None."""

    output: str
    error: str | None


class RunCopy:
    """A throw-away copy of a run's REPL as it was at the end of a turn. A context manager; close it when done.

    Args:
        home: where the run lives.
        question: whose task, context and messages are bound.
        chain: the turns up to the one that is looked at, the first one first.
        thread: the run's, for errors that say what to do.
    """

    def __init__(
        self, home: Home, question: QuestionRecord, chain: Sequence[TurnRecord], thread: str | None = None
    ) -> None:
        self._home, self._question, self._chain, self._thread = home, question, chain, thread
        self._session: Session | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._taken: list[Any] = []

    def eval(self, code: str) -> EvalResult:
        """Runs code as a cell. What it changes is there for the next `eval` and nowhere else."""
        done = run_sync(lambda: self._run(code))
        return EvalResult(done.output, None if done.error is None else done.error.replace(RESTORED, _ANEW))

    def interrupt(self) -> None:
        """Stops an `eval` that runs in another thread, or, called by a signal handler, in this one; it then returns.

        Does not wait, and the variables are kept. Harmless where nothing runs.
        """
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._interrupt)

    def take(self, name: str, form: str) -> bytes:
        """A variable as bytes of one of `value_forms.FORMS`.

        Raises:
            ConfigError: it has no such form; the message says why.
        """
        self._taken = []
        done = run_sync(lambda: self._run(_SEND.format(name=name, form=form)))
        refused = [piece for piece in self._taken if isinstance(piece, str)]
        if done.error is not None:
            refused.append(done.error.strip().splitlines()[-1])
        if refused:
            raise ConfigError(f"The variable {name!r} cannot be given as {form!r}: {refused[0].rstrip('.')}.")
        return b"".join(self._taken)

    def close(self) -> None:
        """Ends the worker. Harmless twice."""
        session, self._session = self._session, None
        if session is not None:
            run_sync(session.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _run(self, code: str) -> CellDone:
        self._loop = asyncio.get_running_loop()
        if self._session is None or not self._session.alive:
            self._session = await self._restored()
        try:
            return await self._executed(self._session, code)
        except asyncio.CancelledError:
            session, self._session = self._session, None  # a cell may be running in it: nothing can be asked of it
            await session.close()
            raise

    async def _executed(self, session: Session, code: str) -> CellDone:
        event = await session.execute(code)
        while isinstance(event, CellPaused):
            event = await session.answer({request.id: self._reply(request) for request in event.requests})
        return event

    def _interrupt(self) -> None:
        """On the loop. Its task is kept, since a loop holds no task fast."""
        if self._session is not None:
            self._stopping = asyncio.ensure_future(self._session.interrupt())

    def _reply(self, request: Request) -> dict[str, Any]:
        if request.kind == "function" and request.name == TAKE:
            self._taken.extend(request.args)
            return {"ok": True, "value": None}
        return {"refused": _NO_CALLS}

    async def _restored(self) -> Session:
        home, question = self._home, self._question
        head = self._chain[-1] if self._chain else None
        bindings = Bindings(
            task=str(question.message["text"]),
            messages=question.earlier,
            history=[await self._entry(turn) for turn in self._chain],
            context=None if question.context is None else await home.read(home.corpora.source, question.context),
            functions=(TAKE,),
            seed=keys.seed(question.run),
            fresh_answer=head is None or head.question != question.number,
        )
        async with snapshot_after(home, self._thread, self._chain) as snapshot:
            session = await ProcessKernel(Limits()).session()
            try:
                await session.start(bindings, snapshot)
            except BaseException:
                await session.close()
                raise
        return session

    async def _entry(self, turn: TurnRecord) -> dict[str, Any]:
        home, output = self._home, turn.output
        if turn.output_ref is not None:
            output = (await home.read(home.blobs.get, turn.output_ref)).decode("utf-8", "replace")
        batches = [{"calls": b.calls, "failed": b.failed, "seconds": b.seconds} for b in turn.batches]
        return {"turn": turn.number, "code": turn.code, "output": output, "error": turn.error, "batches": batches}


def read_value(copy: RunCopy, turn: TurnRecord | None, name: str, form: str) -> Any:
    """A variable of a turn, in a form that the host can hold.

    Raises:
        ConfigError: there is no such variable or form, it is lost, or it has no such form.
    """
    if form not in FORMS:
        raise ConfigError(f"as_={form!r}: give one of {', '.join(map(repr, FORMS))}.")
    _check_name(turn, name)
    return _READ[form](copy.take(name, form))


def _check_name(turn: TurnRecord | None, name: str) -> None:
    known = [variable.name for variable in variables_of(turn)]
    if name in known or name in _BOUND:
        return
    near = difflib.get_close_matches(name, [*known, *_BOUND], n=3, cutoff=0.5) or known[:10]
    hint = f"is it {' or '.join(map(repr, near))}?" if near else "it has none yet."
    where = "Before the first turn" if turn is None else f"At the end of turn {turn.number}"
    raise ConfigError(f"{where} there is no variable {name!r}: {hint}")


def _array(data: bytes) -> Any:
    import numpy

    try:
        return numpy.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise KernelError(f"The REPL worker gave no array: {error}") from error


def _from_json(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise KernelError(f"The REPL worker gave no JSON: {error}") from error


_READ: Mapping[str, Callable[[bytes], Any]] = {
    "json": _from_json,
    "text": lambda data: data.decode("utf-8", "surrogatepass"),
    "npy": _array,
    "bytes": lambda data: data,
}
