"""Progress on stderr: the agent's events as lines, and a live line below them where stderr is a terminal.

`Lines` decides what to say and is the same for both; `progress` decides how it is shown.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rlm_agent.cli.terminal import colourful, counted, first_words, say

__all__ = ["Lines", "progress"]

Event = Mapping[str, Any]


class Lines:
    """From events to lines. Remembers only what spares a line: the answer last shown, the counts of the batch."""

    def __init__(self) -> None:
        self._answer: Any = ""
        self._asked = self._answered = 0
        self._turn = 0

    def of(self, event: Event) -> str | None:
        """The line that an event is worth, or None."""
        self._turn = event.get("turn", self._turn)
        speak: Callable[[Event], str | None] | None = getattr(self, "_" + event["type"].replace(".", "_"), None)
        return None if speak is None else speak(event)

    @property
    def status(self) -> str:
        """Where the run is: one line that changes with every event."""
        batch = f", sub-agents {self._answered} of {self._asked}" if self._asked else ""
        return f"turn {self._turn}{batch}" if self._turn else "starting"

    def _run_started(self, event: Event) -> str:
        isolation = event["isolation"]
        advice = ": run trusted models only" if isolation.startswith("none") else ""
        done = event.get("resumed_turns", 0)
        return f"isolation: {isolation}{advice}" + (f"\ngoes on after {counted(done, 'recorded turn')}" if done else "")

    def _turn_started(self, event: Event) -> str:
        return f"turn {self._turn}"

    def _batch_started(self, event: Event) -> str:
        self._asked, self._answered = event["calls"], 0
        replayed = f"; {event['replayed']} more are on record" if event["replayed"] else ""
        calls = counted(event["calls"], "sub-call")
        return f"turn {self._turn}: asking {calls}, about {event['tokens']:,} tokens{replayed}"

    def _sub_agent_finished(self, event: Event) -> None:
        self._answered += 1

    def _batch_finished(self, event: Event) -> str:
        self._asked = self._answered = 0
        failed = f", {event['failed']} failed" if event["failed"] else ""
        replayed = f", {event['replayed']} of them from the record" if event["replayed"] else ""
        return f"turn {self._turn}: {counted(event['calls'], 'sub-call')} answered{replayed}{failed}"

    def _cell_output(self, event: Event) -> str | None:
        error = (event.get("error") or "").strip()
        return f"turn {self._turn}: cell failed: {first_words(error.splitlines()[-1], 100)}" if error else None

    def _variables_lost(self, event: Event) -> str:
        names = ", ".join(str(variable["name"]) for variable in event["variables"])
        return f"turn {self._turn}: variables that cannot be saved: {first_words(names, 100)}"

    def _answer_updated(self, event: Event) -> str | None:
        if event["content"] == self._answer:
            return None
        self._answer = event["content"]
        state = "ready" if event["ready"] else "not ready yet"
        return f"turn {self._turn}: answer ({state}): {first_words(event['content'], 80)}"


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[Event], None]]:
    """A function that shows an event: live, in plain lines, or not at all."""
    if quiet:
        yield lambda event: None
    elif colourful():
        with _live() as show:
            yield show
    else:
        yield _plain()


def _plain() -> Callable[[Event], None]:
    lines = Lines()

    def show(event: Event) -> None:
        if (line := lines.of(event)) is not None:
            say(line)

    return show


@contextmanager
def _live() -> Iterator[Callable[[Event], None]]:
    from rich.console import Console
    from rich.text import Text

    lines, console = Lines(), Console(stderr=True, highlight=False)

    with console.status(Text(lines.status)) as status:

        def show(event: Event) -> None:
            if (line := lines.of(event)) is not None:
                console.print(Text(line, style="red" if "failed" in line else ""))
            status.update(Text(lines.status))

        yield show
