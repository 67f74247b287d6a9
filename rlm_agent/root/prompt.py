"""The root's prompt, put together: what it is told, the task, the turns that fit the window."""

import inspect
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from rlm_agent.human.approvals import ASK
from rlm_agent.human.gates import ask_human
from rlm_agent.prompts import render
from rlm_agent.root.window import WindowTurn, build_messages, fold_line
from rlm_agent.spec import AgentSpec
from rlm_agent.store.records import TurnRecord

if TYPE_CHECKING:
    from rlm_agent.entries.activity import Activity

__all__ = ["root_messages", "system_prompt"]

_KINDS = {"system": SystemMessage, "human": HumanMessage, "ai": AIMessage}


def root_messages(activity: "Activity", pending: Sequence[tuple[str, str]] = ()) -> list[BaseMessage]:
    """The messages of the next root request.

    Args:
        pending: replies of this turn without code, with the reminders that answered them.
    """
    own = [turn for turn in activity.chain if turn.question == activity.question.number]
    ends = [*(turn.at for turn in own), math.inf]
    turns = [_window_turn(activity, turn, until) for turn, until in zip(own, ends[1:], strict=True)]
    system = system_prompt(activity.spec, activity.question.context)
    parts = build_messages(system, _task(activity), turns, activity.spec.limits.window_tokens, pending)
    return [_KINDS[role](content=text) for role, text in parts]


def _task(activity: "Activity") -> str:
    """The task as the root reads it; turns of earlier questions are not shown again, only where they are."""
    question = activity.question
    text = str(question.message["text"])
    if question.first_turn > 1:
        before = question.first_turn - 1
        text += (
            f"\n\n(This is question {question.number} of the conversation. Your variables of turns 1 to {before} are "
            f"still there; see show_vars(), history[:{before}] and messages.)"
        )
    return "\n\n".join([text, *(_note(note) for note in _notes_of(activity, question.first_turn))])


def _note(text: str) -> str:
    return f"A note from the user: {text}"


def _window_turn(activity: "Activity", turn: TurnRecord, until: float) -> WindowTurn:
    """A turn, with what the root was told between its end and the end of the next one."""
    shown = turn.shown
    if (complaint := activity.complaints.get(turn.lineage)) is not None:
        shown += "\n\n" + render("complaint", complaint=complaint)
    told = [_note(note) for note in _notes_of(activity, turn.number + 1)]
    shown = "\n\n".join([shown, *_raised(activity, turn.at, until), *told])
    return WindowTurn(
        number=turn.number,
        reply=turn.reply,
        shown=shown,
        line=fold_line(turn.number, turn.code, turn.output or turn.shown, turn.error),
        false_starts=turn.false_starts,
    )


def _raised(activity: "Activity", since: float, until: float) -> list[str]:
    """By how much the user raised bounds in this time: what the turn says is left is less than there is."""
    raised = [f"{e.bound} +{e.amount:g}" for e in activity.extensions if since <= e.at < until]
    return [f"The user raised the budget: {', '.join(raised)}."] if raised else []


def _notes_of(activity: "Activity", turn: int) -> list[str]:
    return [note.text for note in activity.notes if note.turn == turn]


def system_prompt(spec: AgentSpec, context: Any) -> str:
    """The system prompt of one agent and question; no number in it changes from turn to turn."""
    limits = spec.limits
    values: dict[str, Any] = {
        "output_chars": limits.output_chars,
        "cell_seconds": f"{limits.cell_seconds:g}",
        "context_line": _context_line(context),
        "budget_line": _budget_line(spec),
        "format_section": _format_section(spec),
        "functions_section": _functions_section(spec),
        "guidance": "\n\n".join([*spec.tips, spec.system_prompt]).strip(),
        "reply_form": render("reply_tool" if spec.code_tool else "reply_fences"),
    }
    if not spec.sub_calls:
        return render("system_no_sub_calls", **values)
    for name in ("children_line", "children_section"):
        values[name] = render(name) if spec.children else ""
    return render("system", **values, concurrency=limits.concurrency, tools_line=_tools_line(spec))


def _context_line(context: Any) -> str:
    if context is None:
        return "None: this question came without a large input"
    if context["kind"] == "text":
        return f"a str of {context['chars']} characters"
    if context["kind"] == "files":
        return f"a dict of {context['files']} files, path -> text, {context['chars']} characters in all"
    return f"a Python list or dict of {context['bytes']} bytes"


def _tools_line(spec: AgentSpec) -> str:
    if not spec.tools:
        return "none"
    return "; ".join(f"{name} ({_first_line(tool.description)})" for name, tool in sorted(spec.tools.items()))


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:120]


def _budget_line(spec: AgentSpec) -> str:
    bounds = {name: getattr(spec.budget, name) for name in spec.budget.__slots__}
    return ", ".join(f"{name} {value:g}" for name, value in bounds.items() if value is not None) or "no bounds"


def _format_section(spec: AgentSpec) -> str:
    if spec.response is None:
        return ""
    schema = json.dumps(spec.response.schema, ensure_ascii=False)
    return f'answer["content"] must be a value (a dict, or JSON text) that matches this JSON schema:\n{schema}'


def _functions_section(spec: AgentSpec) -> str:
    lines = []
    asked = {ASK: ask_human} if spec.approvals.ask else {}
    for name, function in {**spec.repl_functions, **asked}.items():
        doc = (inspect.getdoc(function) or "").split("\n", 1)[0]
        lines.append(f"- `{name}{inspect.signature(function)}` {doc}".rstrip())
    own = [f"- {told}" for code in spec.repl_code for told in code.functions.values()]
    return "\n\n".join(
        f"{head}:\n" + "\n".join(listed)
        for head, listed in (("Host functions bound in the REPL", lines), ("Functions of the REPL's own", own))
        if listed
    )
