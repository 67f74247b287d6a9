"""Cell: runs one piece of code as a notebook does and tells how it ended.

Invariant: whatever the code does short of ending the process, `run` returns. Assignments made before an error stay, the
last bare expression is shown, `await` works at the top, and a traceback shows the cells' own lines only.
"""

import ast
import asyncio
import linecache
import traceback
from collections.abc import Coroutine
from contextlib import suppress
from types import CodeType
from typing import Any

import msgpack

from rlm_agent.repl.interrupts import Interrupts
from rlm_agent.repl.output import Output, shorten
from rlm_agent.repl.reserve import hold_back, release

__all__ = ["Cells"]

AWAITS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
INSPECT_COROUTINE = 0x80
ERROR_KEEP = 64 << 10


class Cells:
    """Runs cells in one namespace and keeps their source for tracebacks.

    Attributes:
        sources: file name -> source of each cell so far.
    """

    def __init__(self, variables: dict[str, Any], output: Output, interrupts: Interrupts) -> None:
        self._variables = variables
        self._output = output
        self._interrupts = interrupts
        self._loop: asyncio.AbstractEventLoop | None = None
        self.sources: dict[str, str] = {}

    def saved(self) -> bytes:
        """The sources, for `remember` after a restore. Those of a longer session begin with the same bytes."""
        return b"".join(msgpack.packb(entry, unicode_errors="surrogatepass") for entry in self.sources.items())

    def remember(self, saved: bytes) -> None:
        """Takes in the sources of cells that ran before a restore."""
        unpacker = msgpack.Unpacker(unicode_errors="surrogatepass", max_buffer_size=0)
        unpacker.feed(saved)
        for name, source in unpacker:
            self._remember(name, source)

    def _remember(self, name: str, source: str) -> None:
        self.sources[name] = source
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)

    def run(self, code: str) -> tuple[str | None, str | None]:
        """Runs a cell.

        Returns:
            The error to show and its kind, "exception" or "interrupted"; None and None when it did not fail.
        """
        name = f"<cell {len(self.sources) + 1}>"
        self._remember(name, code)
        try:
            return self._run(name, code)
        except KeyboardInterrupt as error:
            # An interrupt that came between the cell's last line and the end of its stretch.
            self._interrupts.end()
            return self._failure(error)

    def _run(self, name: str, code: str) -> tuple[str | None, str | None]:
        try:
            hold_back()
            self._interrupts.begin()
            self._execute(name, code)
        except SystemExit as error:
            return self._left(error)
        except BaseException as error:  # noqa: BLE001  # the cell's failure is what the root reads
            release()
            return self._failure(error)
        finally:
            self._interrupts.end()
            release()
        return None, None

    def _execute(self, name: str, code: str) -> None:
        tree = compile(code, name, "exec", ast.PyCF_ONLY_AST | AWAITS, dont_inherit=True)
        assert isinstance(tree, ast.Module)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self._evaluate(compile(tree, name, "exec", AWAITS, dont_inherit=True))
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            value = self._evaluate(compile(expression, name, "eval", AWAITS, dont_inherit=True))
            if value is not None and not code.rstrip().endswith(";"):
                self._output.write(_shown(value) + "\n")

    def _evaluate(self, code: CodeType) -> Any:
        value = eval(code, self._variables)
        return self._await(value) if code.co_flags & INSPECT_COROUTINE else value

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a cell's coroutine on the session's loop; what an interrupted cell awaited is cancelled with it."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            if not task.done():
                task.cancel()
                with suppress(BaseException):
                    self._loop.run_until_complete(task)
            raise

    def _left(self, error: SystemExit) -> tuple[str | None, str | None]:
        if error.code is None or error.code == 0:
            self._output.write("[sys.exit() ended the cell; the session goes on]\n")
            return None, None
        return self._failure(error)

    def _failure(self, error: BaseException) -> tuple[str, str]:
        try:
            text = _traceback(error)
        except Exception as second:  # noqa: BLE001  # an exception's attributes are anybody's code
            text = f"{type(error).__name__} (its traceback cannot be shown: {type(second).__name__})"
        interrupted = isinstance(error, KeyboardInterrupt) and self._interrupts.hit
        return shorten(text, ERROR_KEEP), "interrupted" if interrupted else "exception"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  # a __repr__ is anybody's code
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}: {error!s:.200}>"


def _traceback(error: BaseException) -> str:
    shown = traceback.TracebackException.from_exception(error, compact=True)
    _keep_cells(shown, set())
    return "".join(shown.format()).rstrip("\n")


def _keep_cells(shown: traceback.TracebackException | None, seen: set[int]) -> None:
    """Drops the frames that are not of a cell, in the whole chain of causes."""
    if shown is None or id(shown) in seen:
        return
    seen.add(id(shown))
    kept = [frame for frame in shown.stack if frame.filename.startswith("<cell ")]
    shown.stack = traceback.StackSummary.from_list(kept)
    for next_one in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        _keep_cells(next_one, seen)
