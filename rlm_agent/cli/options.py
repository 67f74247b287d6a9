"""The options that several commands take, and the budget as it is written on a command line."""

import math
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

import typer

from rlm_agent.environment import rlm_model
from rlm_agent.errors import ConfigError
from rlm_agent.settings import Budget

__all__ = [
    "AgentOption",
    "BudgetOption",
    "DepthOption",
    "HomeOption",
    "JsonLinesOption",
    "JsonOption",
    "LastOption",
    "ModelOption",
    "QuietOption",
    "SubModelOption",
    "TipsOption",
    "ToolOption",
    "added_bounds",
    "checked_tools",
    "named_model",
    "parse_budget",
    "text_or_stdin",
]

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The durable home; default: $RLM_HOME or the user data directory.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="The root model: 'openai:gpt-5', ..., or 'offline'. Default: $RLM_MODEL.")
]
SubModelOption = Annotated[str | None, typer.Option("--sub-model", help="The sub-agents' model. Default: the root's.")]
ToolOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tool",
        metavar="NAME[:k=v,...]",
        help="A plugin whose tools the sub-agents get, with its settings; rlm tools lists them. Repeatable.",
    ),
]
TipsOption = Annotated[
    list[str] | None,
    typer.Option("--tips", metavar="NAME", help="A strategy for the root, by name; rlm tips lists them. Repeatable."),
]
AgentOption = Annotated[
    str | None,
    typer.Option("--agent", metavar="NAME", help="A ready-made agent: document_qa, code_qa, research, or another."),
]
DepthOption = Annotated[
    int | None,
    typer.Option("--max-depth", min=0, help="0: no sub-calls; 1: sub-agents (default); n: children down to depth n."),
]
BudgetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="K=V",
        help="A bound: usd, tokens, root_tokens, sub_tokens, seconds, turns or sub_calls; 'none' lifts it. Repeatable.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--jsonl", help="The run's events on stdout, a JSON object a line; the last one has the result.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
LastOption = Annotated[bool, typer.Option("--last", help="The thread in which something happened most recently.")]

_SECRET_ENDINGS = ("api_key", "secret", "password", "token")
_WHOLE = frozenset({"tokens", "root_tokens", "sub_tokens", "turns", "sub_calls"})


def named_model(given: str | None) -> str:
    """The model that --model or RLM_MODEL names.

    Raises:
        ConfigError: neither does.
    """
    name = given or rlm_model()
    if not name:
        raise ConfigError(
            "No model is named: give --model openai:gpt-5 (or another), or set RLM_MODEL; "
            "'--model offline' needs no key and answers lookup questions."
        )
    return name


def text_or_stdin(given: str, what: str) -> str:
    """An argument, or what stdin holds where it is '-'.

    Raises:
        ConfigError: it is empty.
    """
    text = sys.stdin.read() if given == "-" else given
    if not text.strip():
        raise ConfigError(f"{what} is empty: give it as an argument, or '-' and the text on stdin.")
    return text.strip()


def checked_tools(given: Sequence[str] | None) -> tuple[str, ...]:
    """The plugins that --tool names; they are recorded with the run, so that none may hold a secret.

    Raises:
        ConfigError: one is not written as NAME[:k=v,...], or has a setting that is a secret by its name.
    """
    from rlm_agent.plugins import read_reference

    for item in given or ():
        name, settings = read_reference(item)
        for key in settings:
            if key.lower().endswith(_SECRET_ENDINGS):
                raise ConfigError(
                    f"--tool {name}: the setting {key!r} would be recorded in clear; set the environment variable that "
                    "the plugin reads instead."
                )
    return tuple(given or ())


def parse_budget(given: Sequence[str] | None, base: Budget) -> tuple[Budget, set[str]]:
    """A budget changed by `name=value` items: a number, `+number` on top of the bound in `base`, or `none`.

    Args:
        given: the items; one may hold several, with commas between.
        base: what holds where nothing is given.

    Returns:
        The budget, and the names that were given.

    Raises:
        ConfigError: an item is no bound.
    """
    changes: dict[str, int | float | None] = {}
    for item in _items(given):
        name, equals, value = item.partition("=")
        if not equals or name not in {f.name for f in fields(Budget)}:
            names = ", ".join(f.name for f in fields(Budget))
            raise ConfigError(f"--budget {item}: write name=value, with one of the names {names}.")
        changes[name] = _bound(name, value.strip(), getattr(base, name))
    return replace(base, **changes), set(changes)  # type: ignore[arg-type]


def added_bounds(given: Sequence[str] | None) -> dict[str, float]:
    """Of the items that `parse_budget` took, those that add to a bound: by how much each is raised."""
    pairs = [item.partition("=+") for item in _items(given)]
    added = {name: _number(name, value) for name, plus, value in pairs if plus}
    return {name: amount for name, amount in added.items() if amount}


def _items(given: Sequence[str] | None) -> list[str]:
    return [item.strip() for text in given or () for item in text.split(",") if item.strip()]


def _bound(name: str, value: str, before: float | None) -> int | float | None:
    if value.lower() == "none":
        return None
    number = _number(name, value.removeprefix("+"))
    if not value.startswith("+"):
        return number
    if before is None:
        raise ConfigError(f"--budget {name}={value}: {name} has no bound to add to; write {name}=NUMBER.")
    return before + number


def _number(name: str, value: str) -> int | float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0 or (name in _WHOLE and number != int(number)):
        kind = "a whole number" if name in _WHOLE else "a number"
        raise ConfigError(f"--budget {name}={value}: give {kind} of 0 or more, or 'none'.")
    return int(number) if name in _WHOLE else number
