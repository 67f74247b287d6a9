"""Progress on stderr: the agent's events as lines, and a live view below them where stderr is a terminal.

`Lines` decides what to say and is the same for both; `progress` decides how it is shown.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from rlm_agent.cli.outcome import View
from rlm_agent.cli.spending import Spending
from rlm_agent.cli.terminal import counted, first_words, is_screen, say

__all__ = ["Lines", "progress"]

Event = Mapping[str, Any]


class Lines:
    """From events to lines. Remembers only what spares a line: the answer last shown, the counts of the batch."""

    def __init__(self) -> None:
        self._answer: Any = ""
        self._asked = self._answered = self._children = 0
        self._turn = 0
        self._code = ""

    def of(self, event: Event) -> str | None:
        """The line that an event is worth, or None."""
        if event.get("depth"):
            return self._below(event)
        self._turn = event.get("turn", self._turn)
        speak = self._SPEAKERS.get(event["type"])
        return None if speak is None else speak(self, event)

    def _below(self, event: Event) -> str | None:
        """Of children only how many are at work is shown, and what all wait for."""
        self._children += {"run.started": 1, "run.finished": -1}.get(event["type"], 0)
        return self._waiting(event) if event["type"] == "waiting" else None

    @property
    def status(self) -> str:
        """Where the run is: one line that changes with every event."""
        batch = f", sub-agents {self._answered:,} of {self._asked:,} done" if self._asked else ""
        children = f", {counted(self._children, 'REPL')} of children at work" if self._children > 0 else ""
        return f"turn {self._turn}{batch}{children}" if self._turn else "starting"

    @property
    def doing(self) -> str:
        """The first line of the cell that runs, or what is waited for."""
        return self._code or ("waiting for the root's reply" if self._turn else "")

    def _run_started(self, event: Event) -> str:
        isolation = event["isolation"]
        advice = ": run trusted models only" if isolation.startswith("none") else ""
        done = event.get("resumed_turns", 0)
        rebuilt = _rebuilt_line(event)
        lines = [f"isolation: {isolation}{advice}", *rebuilt]
        return "\n".join([*lines, f"goes on after {counted(done, 'recorded turn')}"] if done else lines)

    def _turn_started(self, event: Event) -> None:
        self._code = ""

    def _code_started(self, event: Event) -> str:
        lines = [line for line in event["code"].splitlines() if line.strip()]
        self._code = first_words(lines[0], 200) if lines else ""
        more = f" (+{counted(len(lines) - 1, 'line')})" if len(lines) > 1 else ""
        return f"turn {self._turn}: {first_words(self._code, 80)}{more}"

    def _cell_finished(self, event: Event) -> None:
        self._code = ""

    def _batch_started(self, event: Event) -> str:
        self._asked += event["calls"]
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

    def _waiting(self, event: Event) -> str | None:
        if event["who"] == "human":
            return None  # the question is shown when the run has stopped for it
        return f"waiting for {event['what']} until {event['until']}: {event['why']}"

    def _budget_low(self, event: Event) -> str:
        return f"budget: {event['spent']:,.6g} of {event['of']:,.6g} {event['bound']} are spent"

    _SPEAKERS: ClassVar[Mapping[str, Callable[["Lines", Event], str | None]]] = {
        "run.started": _run_started,
        "turn.started": _turn_started,
        "code": _code_started,
        "batch.started": _batch_started,
        "sub_agent.finished": _sub_agent_finished,
        "batch.finished": _batch_finished,
        "cell.output": _cell_output,
        "cell.finished": _cell_finished,
        "variables.lost": _variables_lost,
        "answer.updated": _answer_updated,
        "waiting": _waiting,
        "budget.low": _budget_low,
    }


def _rebuilt_line(event: Event) -> list[str]:
    """What a rebuild did, if one was asked for."""
    if "rebuilt" not in event:
        return []
    if not event["rebuilt"]:
        return ["every snapshot is whole: nothing was rebuilt"]
    other = ", ".join(map(str, event["differs"]))
    differs = f"; turns {other} printed something else than on record" if other else ", each as on record"
    return [f"rebuilt the variables of {counted(len(event['rebuilt']), 'turn')} from the record{differs}"]


@contextmanager
def progress(view: View, spending: Spending) -> Iterator[Callable[[Event], None]]:
    """A function that shows an event: in a live view, in plain lines, or not at all."""
    lines = Lines()
    if view.quiet:
        yield lambda event: None
    elif not is_screen() or (view.as_jsonl and sys.stdout.isatty()):
        yield _through(lines, say)
    else:
        from rlm_agent.cli.live import LiveView

        with LiveView(lambda: [part for part in (lines.status, lines.doing, spending.line) if part]) as live:
            yield _through(lines, live.say)


def _through(lines: Lines, put: Callable[[str], None]) -> Callable[[Event], None]:
    def show(event: Event) -> None:
        if (line := lines.of(event)) is not None:
            put(line)

    return show
