"""Builds docs/prompts.md, what models are told: `python docs/build_prompts.py`.

Invariant: every text in a fence comes out of the code that makes it for a run, filled in for one example agent. A test
checks that the page is current.
"""

import ast
import inspect
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from rlm_agent import create_rlm_agent
from rlm_agent.prompts import render
from rlm_agent.root.observation import Outcome, observe
from rlm_agent.root.prompt import system_prompt
from rlm_agent.root.replies import PYTHON_TOOL
from rlm_agent.root.tips import tip, tip_names
from rlm_agent.root.window import WindowTurn, build_messages, fold_line
from rlm_agent.store.records import BatchRecord, CellRecord

__all__ = ["build"]

PAGE = Path(__file__).with_name("prompts.md")
HANDLE = {"kind": "files", "files": 1790, "chars": 31_000_000}
SCHEMA = {"type": "object", "properties": {"supplier": {"type": "string"}}, "required": ["supplier"]}


def build() -> str:
    """The whole page."""
    example, bare = _agent(), _agent(max_depth=0)
    return f"""\
# What the models are told

Written by `python docs/build_prompts.py` out of [rlm_agent/prompts](../rlm_agent/prompts) and the code that fills it
in; a test checks that it is current. Nothing else is sent: a root request is the system prompt, the task, and the
turns that fit the window; a sub-agent's request is its prompt and, where the call asked for them, the texts below.

The example is this agent, asked about a directory of 1 790 files:

{_fenced(_agent_source())}

## The root's system prompt

It does not change from turn to turn, so that a provider's prompt cache can hold it. From your options come: the line
on `context`, the tools by name and the first line of their descriptions, the host functions, the budget, the format
of the answer, and `system_prompt`, which stands last.

{_fenced(system_prompt(example, HANDLE))}

With `max_depth=0` there are no sub-agents, and none of their names:

{_fenced(system_prompt(bare, HANDLE))}

## Strategies

`tips=` adds texts to the system prompt, before `system_prompt`; none is on by default. An item is the name of one of
these (`rlm tips NAME` prints it), or a text of your own; what has no white space in it is taken for a name. They help
some models and hinder others: measure before you keep one.

{_tips()}

## The task

The first human message is the question, whole, or cut in its middle to at most a quarter of the window, with a marker
that names the variable `task`. A note (another message to an unfinished thread) is added where the root reads it
next: "A note from the user: ...". A later question on the same thread starts a new conversation in the same REPL, and
says so.

## After each turn

What the cells printed, cut in the middle to `Limits.output_chars`; then one line on the turn, one for each variable
that could not be saved, one on the answer, one on what is left:

{_fenced(_observed())}

## Older turns

When the window (`Limits.window_tokens`) is full, the oldest turns are folded to a line each, and the oldest lines to a
range, until half of it is free. Nothing is summarised: the whole is in `history`. The task's message is then:

{_fenced(_folded())}

## When a reply holds no code

{_fenced(render("reminder"))}

Where the provider cut the reply at its token limit:

{_fenced(render("reminder_cut"))}

With `code_via="tool"` the request carries one tool, and the system prompt says instead of "one or more blocks ...":

{_fenced(render("reply_tool"))}

{_fenced(json.dumps(PYTHON_TOOL, indent=1))}

## When the answer is not accepted

{_fenced(render("complaint", complaint="(what `check` said, or how the content differs from `response_format`)"))}

## Sub-agents

A call without options is its prompt, as one human message. `system=` is the system message. Without it, a sub-agent
that has tools is told:

{_fenced(render("sub_agent", sub_turns=8))}

With `schema=`, the system message ends in:

{_fenced(render("schema", schema=json.dumps(SCHEMA)))}

A reply that does not match it is sent back once, with:

{_fenced(render("repair", problem="(what is wrong with it)"))}

On the last turn that it has, its tools are taken away, and it reads:

{_fenced(render("last_turn"))}

## Children

With `max_depth` of 2 and more ([recursion.md](recursion.md)) the names in the REPL have one more line, and the section
on sub-agents one more paragraph:

{_fenced(render("children_line"))}

{_fenced(render("children_section"))}

A child is told what a root is told. Its task is the prompt of its call; `system=` of the call stands where
`system_prompt` does, `schema=` where `response_format` does.
"""


def _tips() -> str:
    return "\n\n".join(f"`{name}`\n\n{_fenced(tip(name))}" for name in tip_names())


def look_up(name: str) -> str:
    """Finds a supplier's number."""
    return name


def page(url: str) -> str:
    """Reads a web page."""
    return url


def _agent(**more: Any) -> Any:
    return create_rlm_agent(
        "offline",
        tools=[page],
        repl_functions=[look_up],
        response_format=SCHEMA,
        system_prompt="Answer in Korean.",
        **more,
    ).spec


def _agent_source() -> str:
    """The call above, as a reader would write it."""
    call: Any = ast.parse(textwrap.dedent(inspect.getsource(_agent))).body[0]
    made = call.body[0].value.value
    words = ",\n".join(f"    {word.arg}={ast.unparse(word.value)}" for word in made.keywords if word.arg)
    return f"create_rlm_agent(\n    {ast.unparse(made.args[0])},\n{words},\n)".replace("'", '"')


def _observed() -> str:
    outcome = Outcome(
        number=3,
        cells=[CellRecord("", None, 0.4), CellRecord("", "Traceback ...\nKeyError: 'unit'", 0.1)],
        outputs=["412 hits\n", ""],
        blocks=3,
        batches=[BatchRecord(calls=412, failed=2, replayed=180, seconds=31.0)],
        answer={"content": "so far", "ready": False},
        lost=[{"name": "lines", "type": "generator", "why": "it lives only in the process that made it"}],
    )
    return observe(outcome, 8192, "turns 47 of 50, sub_calls 1588 of 2000")


def _folded() -> str:
    turns = [WindowTurn(n, "x" * 1500, "y" * 1500, _line(n)) for n in range(1, 62)]
    return build_messages("system", "The task.", turns, 2000)[1][1]


def _line(number: int) -> str:
    if number % 3:
        return fold_line(number, f"hits = find('supplier', part={number})\nlen(hits)", f"{number * 7} hits", None)
    return fold_line(number, "rows = parse(hits)", "", "Traceback ...\nKeyError: 'unit'")


def _fenced(text: str) -> str:
    """The text in a fence longer than any that it holds."""
    fence = "````" if "```" in text else "```"
    return f"{fence}text\n{text}\n{fence}"


if __name__ == "__main__":
    PAGE.write_text(build(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")
