"""A run that waits for a person: what it asks, shown with the command that answers; and the answer of a command line.

Invariant: whatever a model wrote is cleaned and indented, so that it cannot pass for a line of ours.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm_agent.cli.exits import Code
from rlm_agent.cli.outcome import View, plain_result, resume_command
from rlm_agent.cli.starts import AGENT
from rlm_agent.cli.terminal import clean, json_text, say, show
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from langgraph.types import Command, Interrupt

    from rlm_agent.store.home import Home

__all__ = ["Answer", "give_waiting"]

_SHOWN = 2000
_DIGITS = 8
_WHAT = {
    "tool": "a sub-agent wants to call {name}",
    "llm_batch": "the root wants to send a batch",
    "ask_human": "the root asks",
}
_OPTIONS = {"approve": "--approve", "reject": "--reject WHY", "respond": "--reply TEXT"}


def give_waiting(home: "Home", thread: str, waiting: "Sequence[Interrupt]", view: View) -> int:
    """Says what waits and how to answer; with --json, one object on stdout. Returns the exit code, 4."""
    if not (view.quiet and (view.as_json or view.as_jsonl)):
        for each in waiting:
            say(_shown(each.value, each.id[:_DIGITS] if len(waiting) > 1 else "", resume_command(thread, view)))
    if view.as_json:
        show(json_text(_plain(home, thread, waiting)))
    return Code.WAITING


def _shown(asked: Mapping[str, Any], id_: str, command: str) -> str:
    action, review = asked["action_requests"][0], asked["review_configs"][0]
    title = _WHAT[asked["what"]].format(name=action["name"])
    arguments = [] if asked["what"] == "ask_human" else [json.dumps(action["args"], ensure_ascii=False)]
    chosen = f" --id {id_}" if id_ else ""
    options = " | ".join(_OPTIONS[kind] for kind in review["allowed_decisions"] if kind in _OPTIONS)
    body = [_indented(text) for text in (action["description"], *arguments) if text]
    return "\n".join([f"waiting for you: {clean(title)}", *body, f"answer: {command}{chosen} {options}"])


def _indented(text: str) -> str:
    cut = clean(text[:_SHOWN]) + (" ..." if len(text) > _SHOWN else "")
    return "\n".join(f"    {line}" for line in cut.split("\n"))


def _plain(home: "Home", thread: str, waiting: "Sequence[Interrupt]") -> dict[str, Any]:
    """The object of a result, with the questions under "waiting"; each has the id that --id takes."""
    from rlm_agent.inspection import open_run
    from rlm_agent.recorded.turn_view import folded

    run = open_run(thread, name=AGENT, home=home)
    question, number = run.question, run.question.number
    usage = folded(home.ledger.usage(run.id, number), question.active_seconds)
    turns = sum(turn.record.question == number for turn in run.turns)
    rlm = {"content": run.answer.content, "ready": False, "stopped_by": "waiting", "usage": usage, "turns": turns}
    asked = [{"id": each.id, **{k: v for k, v in each.value.items() if k != "id"}} for each in waiting]
    return {**plain_result(thread, rlm), "waiting": asked}


@dataclass(frozen=True, slots=True)
class Answer:
    """What `rlm resume` was given for the run that waits.

    Attributes:
        approve: --approve.
        reject: --reject WHY.
        reply: --reply TEXT.
        ids: --id, each the beginning of an id, or "all".
    """

    approve: bool = False
    reject: str | None = None
    reply: str | None = None
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = [self.approve, self.reject is not None, self.reply is not None]
        if sum(given) > 1:
            raise ConfigError("--approve, --reject and --reply exclude each other: answer one question at a time.")
        if self.ids and not any(given):
            raise ConfigError("--id says what is answered: give --approve, --reject WHY or --reply TEXT with it.")

    def __bool__(self) -> bool:
        return self.approve or self.reject is not None or self.reply is not None

    def command(self, waiting: "Sequence[Interrupt]") -> "Command[Any]":
        """The answer as LangGraph takes it.

        Raises:
            ConfigError: nothing waits, or several do and none is named, or a name is none of theirs.
        """
        from langgraph.types import Command

        return Command(resume={id_: self._decision for id_ in self._chosen([each.id for each in waiting])})

    @property
    def _decision(self) -> dict[str, str]:
        if self.approve:
            return {"type": "approve"}
        if self.reject is not None:
            return {"type": "reject", "message": self.reject}
        return {"type": "respond", "message": str(self.reply)}

    def _chosen(self, ids: list[str]) -> list[str]:
        if not ids:
            raise ConfigError("Nothing waits for an answer on this thread: rlm resume without one goes on with it.")
        if self.ids == ("all",):
            return ids
        if not self.ids and len(ids) > 1:
            names = ", ".join(id_[:_DIGITS] for id_ in ids)
            raise ConfigError(f"{len(ids)} questions wait: give --id with one or more of {names}, or --id all.")
        return [_meant(given, ids) for given in self.ids] if self.ids else ids


def _meant(given: str, ids: list[str]) -> str:
    found = [id_ for id_ in ids if given and id_.startswith(given)]
    if len(found) != 1:
        names = ", ".join(id_[:_DIGITS] for id_ in ids)
        raise ConfigError(f"--id {given}: {'several wait with it' if found else 'no such question waits'}; {names} do.")
    return found[0]
