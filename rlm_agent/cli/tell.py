"""`rlm tell`: a note to a run that is not answered yet, also while another process works on it."""

import asyncio
from typing import Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption, text_or_stdin
from rlm_agent.cli.outcome import View, resume_command
from rlm_agent.cli.terminal import one_line, say
from rlm_agent.cli.thread_names import newest_question
from rlm_agent.errors import ConfigError

__all__ = ["tell"]


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
        run, question = newest_question(opened, thread)
        if question.status == "answered":
            raise ConfigError(f"Thread {thread!r} is answered: ask on with rlm run TEXT --thread {thread}.")
        asyncio.run(opened.notes.add(run.id, said))
    command = resume_command(thread, View(home=home))
    say(f"noted: the root of {one_line(thread)} reads it at its next turn; where nothing works on it: {command}")
    return Code.ANSWERED
