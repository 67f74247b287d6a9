"""What a question came to: the result on stdout, how to go on from it on stderr, the exit code.

Invariant: with --json, stdout gets exactly one JSON object; with --jsonl, one a line; else the answer's text alone.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_agent.cli.exits import Code
from rlm_agent.cli.terminal import counted, json_text, say, show
from rlm_agent.errors import ConfigError

__all__ = ["View", "give", "plain_result", "resume_command", "spent", "status_word"]

_BOUND = re.compile(r"Budget\((\w+)=")


@dataclass(frozen=True, slots=True)
class View:
    """How the caller wants to see it.

    Attributes:
        quiet: nothing on stderr but errors.
        as_json: the result as one JSON object.
        as_jsonl: the events as JSON lines, the last one with the result.
        home: the --home that was given, for the commands that are told.
    """

    quiet: bool = False
    as_json: bool = False
    as_jsonl: bool = False
    home: Path | None = None

    def __post_init__(self) -> None:
        if self.as_json and self.as_jsonl:
            raise ConfigError("--json and --jsonl are two forms of one result: give one of them.")


def status_word(status: str, waiting: object) -> str:
    """A question's recorded status in a user's words; `waiting` is true where a person is to answer first."""
    if status != "open":
        return status
    return "waiting" if waiting else "unfinished"


def resume_command(thread: str, view: View) -> str:
    """The command that goes on with a thread, ready to be pasted."""
    home = f" --home {shlex.quote(str(view.home))}" if view.home is not None else ""
    return f"rlm resume {shlex.quote(thread)}{home}"


def give(thread: str, text: str, rlm: Mapping[str, Any], view: View) -> int:
    """Prints a result.

    Args:
        thread: its thread.
        text: the answer as text, never empty; with --jsonl the last event has told it.
        rlm: `out["rlm"]` of the agent.
        view: how to print it.

    Returns:
        The exit code: 0 answered, 3 stopped by a limit.
    """
    if not view.quiet:
        say(_closing(thread, rlm, view))
    if not view.as_jsonl:
        show(json_text(plain_result(thread, rlm)) if view.as_json else text)
    return Code.ANSWERED if rlm["ready"] else Code.STOPPED


def plain_result(thread: str, rlm: Mapping[str, Any]) -> dict[str, Any]:
    """The object of the contract, section 10: {thread, answer, ready, stopped_by, usage, turns}."""
    return {
        "thread": thread,
        "answer": rlm["content"],
        "ready": rlm["ready"],
        "stopped_by": rlm["stopped_by"],
        "usage": rlm["usage"],
        "turns": rlm["turns"],
    }


def _closing(thread: str, rlm: Mapping[str, Any], view: View) -> str:
    cost = f"{counted(rlm['turns'], 'turn')}, {spent(rlm['usage'])}"
    if rlm["ready"]:
        return f"answered: {cost}"
    bound = "turns" if rlm["stopped_by"] == "turns" else _named_bound(str(rlm.get("raise", "")))
    more = f" --budget {bound}=+N" if bound else ""
    return f"stopped by {rlm['stopped_by']}, the answer is partial: {cost}; go on: {resume_command(thread, view)}{more}"


def _named_bound(advice: str) -> str | None:
    found = _BOUND.search(advice)
    return found.group(1) if found else None


def spent(usage: Mapping[str, Any]) -> str:
    """A usage report on one line."""
    total, sub = usage["total"], usage["sub"]
    tokens = total["input_tokens"] + total["output_tokens"]
    usd = "cost unknown" if total["usd"] is None else f"{total['usd']:.4f} USD"
    seconds = f", {usage['seconds']:.1f} s" if usage["seconds"] else ""
    return f"{counted(total['calls'], 'call')} ({sub['calls']} by sub-agents), {tokens:,} tokens, {usd}{seconds}"
