"""The prompt of `rlm repl`: inputs run in a copy of the REPL, commands begin with a colon.

Invariant: Ctrl-C stops the input that runs and nothing else; a second one, where that does not stop, ends the worker of
the copy. The run is only read, save for what a command says.
"""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, ClassVar

from rlm_agent.cli.fork import how_to_go_on
from rlm_agent.cli.outcome import View
from rlm_agent.cli.repl_lines import History, Lines
from rlm_agent.cli.tell import noted
from rlm_agent.cli.terminal import counted, say, show, show_row
from rlm_agent.cli.variables import relaid
from rlm_agent.errors import RLMError

if TYPE_CHECKING:
    from rlm_agent.inspection import RunView
    from rlm_agent.recorded.values import RunCopy

__all__ = ["Prompt"]

_HELP = """\
An input is run in a copy of the variables: nothing of it is seen by the run, and sub-calls are not to be had.
:vars          the variables as they are here
:turn [N]      begin anew at the end of turn N, or of the newest
:fork [ID]     a new thread at this turn, whose next turn runs what was typed here and did not fail
:tell TEXT     a note that the root reads at its next turn
:help          this
Ctrl-C stops what runs, Ctrl-D leaves."""


class Prompt:
    """One look at a run, from its first input to Ctrl-D.

    Args:
        run: the run.
        turn: where the copy begins; None: at the newest turn.
        view: how the caller wants to see it.
    """

    def __init__(self, run: "RunView", turn: int | None, view: View) -> None:
        self._run, self._view = run, view
        self._typed: list[str] = []
        self._copy: RunCopy
        self._lines = Lines("")
        self._begin(turn)

    def run(self) -> None:
        """Reads and runs inputs until there are no more."""
        try:
            with History(self._run.home.path / "cli" / "repl_history"):
                while (text := self._lines.read()) is not None:
                    self._take(text)
        finally:
            self._copy.close()

    def _begin(self, turn: int | None) -> None:
        """A copy at a turn; where there is no such turn, the one that is here stays."""
        head = self._run.head
        number = turn if turn is not None else 0 if head is None else head.number
        self._copy, self._turn = self._run.copy(number or None), number
        self._typed = []
        self._lines.prompt = f"turn {number}>>> "

    def _take(self, text: str) -> None:
        """One input; what a command cannot do is said and ends nothing."""
        name, _, rest = text.strip().partition(" ")
        try:
            if not name:
                return
            if not name.startswith(":"):
                self._execute(text)
            elif (command := self._COMMANDS.get(name)) is not None:
                command(self, rest.strip())
            else:
                say(f"no command {name}: :help lists them")
        except KeyboardInterrupt:
            say("\nthe worker was ended; this copy begins anew, and what was tried in it is gone")
            self._typed = []
        except RLMError as error:
            say(f"rlm: {error}")

    def _execute(self, code: str) -> None:
        """Runs code in the copy and shows what came of it."""
        with _ctrl_c(self._copy.interrupt):
            result = self._copy.eval(code)
        if result.output:
            show(result.output)
        if result.error is not None:
            say(result.error)
        else:
            self._typed.append(code)

    def _vars(self, rest: str) -> None:
        with _ctrl_c(self._copy.interrupt):
            result = self._copy.eval("show_vars()")
        for line in relaid(result.output + (result.error or "")):
            show_row(line)

    def _go_to(self, rest: str) -> None:
        if rest and not rest.isdecimal():
            say(f":turn {rest}: give the number of a turn")
            return
        before = self._copy
        self._begin(int(rest) if rest else None)
        before.close()

    def _fork(self, rest: str) -> None:
        code = "\n".join(self._typed)
        made = self._run.fork(self._turn, code=code or None, thread=rest or None)["configurable"]["thread_id"]
        then = f"its next turn runs {counted(len(self._typed), 'input')} of yours" if code else "nothing was typed yet"
        say(f"forked at turn {self._turn}, {then}; {how_to_go_on(self._run, made, self._view)}")
        show(made)

    def _tell(self, rest: str) -> None:
        say(noted(self._run, rest, self._view))

    def _help(self, rest: str) -> None:
        show(_HELP)

    _COMMANDS: ClassVar[Mapping[str, Callable[["Prompt", str], None]]] = {
        ":vars": _vars,
        ":turn": _go_to,
        ":fork": _fork,
        ":tell": _tell,
        ":help": _help,
    }


@contextmanager
def _ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """Within it the first Ctrl-C calls `stop`; the next one is Python's KeyboardInterrupt again."""

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("")  # below the ^C that a terminal echoes
        stop()

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
