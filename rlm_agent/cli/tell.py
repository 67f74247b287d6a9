"""`rlm tell`: a note to a run that is not answered yet, also while another process works on it."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption, text_or_stdin
from rlm_agent.cli.outcome import View, resume_command
from rlm_agent.cli.starts import AGENT
from rlm_agent.cli.terminal import one_line, say
from rlm_agent.cli.thread_names import look
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.inspection import RunView

__all__ = ["noted", "tell"]


@reported
def tell(
    thread: Annotated[str, typer.Argument(help="The thread id.")],
    text: Annotated[str, typer.Argument(help="What the root is told; '-' reads it from stdin.")],
    home: HomeOption = None,
) -> int:
    """Tells an unfinished run something: its root reads it at its next turn, whichever process it runs in."""
    said = text_or_stdin(text, "The note")
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        say(noted(look(opened, thread), said, View(home=home)))
    return Code.ANSWERED


def noted(view: "RunView", text: str, given: View) -> str:
    """Leaves a note to a run's root. Returns what is to be said of it.

    Raises:
        ConfigError: the run is answered: nobody would read it.
    """
    thread, ours = str(view.record.thread), not view.record.path and view.record.name == AGENT
    if view.status == "answered":
        more = f": ask on with rlm run TEXT --thread {shlex.quote(thread)}" if ours else ""
        raise ConfigError(f"Thread {thread!r} is answered{more}.")
    view.tell(text)
    command = resume_command(thread, given) if ours else "its own program goes on with it"
    return f"noted: the root of {one_line(thread)} reads it at its next turn; where nothing works on it: {command}"
