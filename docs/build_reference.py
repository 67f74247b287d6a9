"""Builds docs/reference.md from the signatures and docstrings of the public names: `python docs/build_reference.py`.

Owns which names a reader is shown, and how a docstring becomes Markdown. Invariant: the page says what the source
says; only the moments at which events are sent are told here. A test checks that the page is current.
"""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

__all__ = ["NOT_MADE_BY_HAND", "build", "members", "sent", "signature"]

PAGE = Path(__file__).with_name("reference.md")
WIDTH = 110
ITEMS = ("Args", "Attributes", "Raises")

INTRO = """\
# Reference

Written by `python docs/build_reference.py` from signatures and docstrings; a test checks that it is current.
`import rlm_agent` loads nothing else: a name is loaded when it is first used. What an agent takes and gives back as a
graph is in [embedding.md](embedding.md); what the models are told is in [prompts.md](prompts.md).
"""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Making an agent": ("rlm_agent:create_rlm_agent", "rlm_agent.compiled:RLMGraph"),
    "Bounds": ("rlm_agent:Budget", "rlm_agent:Limits"),
    "Approvals": ("rlm_agent:over", "rlm_agent:BatchView"),
    "Large inputs and the home": ("rlm_agent:Corpus", "rlm_agent:Home"),
    "Looking at runs": (
        "rlm_agent:open_run",
        "rlm_agent:runs",
        "rlm_agent.inspection:RunView",
        "rlm_agent.inspection:TurnView",
        "rlm_agent.inspection:Answer",
        "rlm_agent.inspection:Variable",
        "rlm_agent.recorded.values:EvalResult",
        "rlm_agent.recorded.values:RunCopy",
    ),
    "Records": (
        "rlm_agent.store.records:RunRecord",
        "rlm_agent.store.records:QuestionRecord",
        "rlm_agent.store.records:TurnRecord",
        "rlm_agent.store.records:CellRecord",
        "rlm_agent.store.records:BatchRecord",
    ),
    "Tests without a provider: `rlm_agent.testing`": (
        "rlm_agent.testing:ScriptedModel",
        "rlm_agent.testing.scripted_model:Reply",
        "rlm_agent.testing:ScriptExhausted",
        "rlm_agent.testing:read_calls",
        "rlm_agent.testing:Call",
        "rlm_agent.testing:ToolPluginTests",
    ),
}

NOT_MADE_BY_HAND = (
    "Corpus",
    "LLMResult",
    "RLMGraph",
    "RunCopy",
    "RunView",
    "ScriptExhausted",
    "ToolPluginTests",
    "TurnView",
)

WHEN = {
    "run.started": "the question is recorded, nothing is paid yet; again at each resume, with the turns it has",
    "turn.started": "the root is about to be asked",
    "code": "a reply's blocks are about to run",
    "cell.output": "a block ended: what it printed, and its traceback or None",
    "cell.finished": "a block ended: its own running time, and whether it did not fail",
    "batch.started": "sub-calls are about to be asked: how many, how many more come from the record, tokens estimated",
    "sub_agent.finished": "a sub-call is recorded: its index within its chunk of up to 64, error and usage",
    "batch.finished": "all replies are in the cell's hands",
    "variables.lost": "the turn is recorded without these variables: a list of name, type and reason",
    "answer.updated": "the turn is recorded: the answer so far, cut to 500 characters",
    "waiting": "a person (`who` is human) is asked: what, the interrupt's id, its value; or a model: until when, why",
    "budget.low": "little of a bound is left",
    "run.finished": "the question's result is recorded, or given back again",
}


def build() -> str:
    """The whole page."""
    sections = [_section(title, names) for title, names in SECTIONS.items()]
    return "\n".join([INTRO, *sections, _cell(), _events(), _errors()])


def signature(value: Any) -> str:
    """The signature of a function or class on one line, as its source has it; fields for a dataclass."""
    node = _tree(value)
    return _one_line(value.__name__, *_parameters(node))


def members(cls: type) -> Iterator[tuple[str, str]]:
    """The public methods and properties that a class itself defines: (signature on one line, docstring)."""
    for node in _tree(cls).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            doc = ast.get_docstring(node) or ""
            if "property" in {ast.unparse(decorator) for decorator in node.decorator_list}:
                yield f"{node.name}: {_annotation(node.returns)}", doc
            else:
                prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
                yield prefix + _one_line(node.name, *_parameters(node)), doc


def sent() -> dict[str, list[str]]:
    """The events that the package sends, with the names that each carries, read from its source."""
    import rlm_agent

    found: dict[str, list[str]] = {}
    for file in sorted(Path(rlm_agent.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and (kind := _kind(node)) is not None:
                names = [word.arg for word in node.keywords if word.arg and word.arg != "number"]
                found[kind] = list(dict.fromkeys([*found.get(kind, []), *names]))
    return found


def _section(title: str, names: tuple[str, ...]) -> str:
    return f"## {title}\n\n" + "\n".join(_entry(name) for name in names)


def _load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _entry(place: str) -> str:
    name, value = place.partition(":")[2], _load(place)
    if not (isinstance(value, type) or inspect.isfunction(value)):
        return f"### `{name}`\n\n```text\n{_alias(place)}\n```\n"
    text = f"### `{name}`\n\n"
    if name not in NOT_MADE_BY_HAND:
        text += f"```text\n{_wrapped(name, *_parameters(_tree(value)))}\n```\n\n"
    text += _markdown(inspect.cleandoc(value.__doc__ or "")) + "\n"
    found = list(members(value)) if isinstance(value, type) else []
    listed = "\n".join(_member(*member) for member in found)
    return text + (f"\nMethods and properties:\n\n{listed}\n" if found else "")


def _alias(place: str) -> str:
    """The line of source that a name of no class and no function is bound by."""
    module, _, name = place.partition(":")
    lines = ast.parse(inspect.getsource(importlib.import_module(module))).body
    bound = [line for line in lines if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name]
    return ast.unparse(bound[0])


def _member(signed: str, doc: str) -> str:
    rest = textwrap.indent(_markdown(doc), "  ").strip()
    return f"* `{signed}`" + (f"  \n  {rest}" if rest else "")


# From source to signatures


def _tree(value: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _parameters(node: Any) -> tuple[list[str], str]:
    """The parameters, and the type of what is returned ("" for a class)."""
    if not isinstance(node, ast.ClassDef):
        return _arguments(node.args), _annotation(node.returns)
    made = next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name in ("__init__", "__new__")), None)
    if made is not None:
        return _arguments(made.args), ""
    decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
    if not decorators.startswith("dataclass"):
        return [], ""
    fields = [f for f in node.body if isinstance(f, ast.AnnAssign)]
    return [_parameter(ast.unparse(f.target), f.annotation, f.value) for f in fields], ""


def _arguments(args: ast.arguments) -> list[str]:
    plain = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    found = [_parameter(arg.arg, arg.annotation, value) for arg, value in zip(plain, defaults, strict=True)]
    if args.posonlyargs:
        found.insert(len(args.posonlyargs), "/")
    if plain and plain[0].arg in ("self", "cls"):
        del found[0]
    if args.vararg or args.kwonlyargs:
        found.append("*" + (_parameter(args.vararg.arg, args.vararg.annotation, None) if args.vararg else ""))
    pairs = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    found += [_parameter(arg.arg, arg.annotation, value) for arg, value in pairs]
    return found + (["**" + _parameter(args.kwarg.arg, args.kwarg.annotation, None)] if args.kwarg else [])


def _parameter(name: str, annotation: ast.expr | None, default: ast.expr | None) -> str:
    typed = f"{name}: {_annotation(annotation)}" if annotation is not None else name
    if default is None:
        return typed
    return f"{typed} = {_source(default)}" if annotation is not None else f"{typed}={_source(default)}"


def _annotation(node: ast.expr | None) -> str:
    """An annotation as it is read, whether its source quotes it or not."""
    if node is None:
        return ""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else _source(node)


def _source(node: ast.expr) -> str:
    """An expression with the double quotes of this project."""
    return re.sub(r"'([^'\"]*)'", r'"\1"', ast.unparse(node))


def _one_line(name: str, parameters: list[str], returns: str) -> str:
    return f"{name}({', '.join(parameters)})" + (f" -> {returns}" if returns else "")


def _wrapped(name: str, parameters: list[str], returns: str) -> str:
    line = _one_line(name, parameters, returns)
    if len(line) <= WIDTH:
        return line
    lines = "".join(f"    {parameter},\n" for parameter in parameters)
    return f"{name}(\n{lines})" + (f" -> {returns}" if returns else "")


# From docstrings to Markdown


def _markdown(doc: str) -> str:
    """A Google docstring: its sections become lists, its examples code."""
    parts = re.split(r"^(Args|Attributes|Raises|Returns|Example):\n", doc, flags=re.MULTILINE)
    text = parts[0].strip()
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        text += f"\n\n{_titled(title, textwrap.dedent(body).strip())}"
    return text.strip()


def _titled(title: str, body: str) -> str:
    if title == "Example":
        return f"```pycon\n{body}\n```"
    if title == "Returns":
        return f"Returns: {body}"
    if title not in ITEMS:
        return body
    items = re.split(r"\n(?=\S)", body)
    return f"{title}:\n\n" + "\n".join("* " + re.sub(r"^(.+?): ", r"`\1`: ", item, count=1) for item in items)


# What is no public name of a module


def _cell() -> str:
    from rlm_agent.repl.subcalls import ALIASES, sub_call_functions
    from rlm_agent.sub_agents.sub_calls import NO_CHILDREN

    functions = sub_call_functions(lambda *_: None).values()
    listed = "\n".join(_member(signature(f), inspect.cleandoc(f.__doc__ or "")) for f in functions)
    aliases = ", ".join(f"`{alias}` for `{name}`" for alias, name in ALIASES.items())
    return (
        "## In the REPL\n\nWhat a cell can call, beside the names that [prompts.md](prompts.md) lists:\n\n"
        f'{listed}\n\nWhere `max_depth` is 1, `rlm` and `rlm_batch` give failed slots: "{NO_CHILDREN}"; see '
        "[recursion.md](recursion.md).\n"
        f"Other names of the same, for models that were trained on them: {aliases}.\n\n"
        + _entry("rlm_agent.repl.results:LLMResult")
    )


def _events() -> str:
    from rlm_agent.events import EVENT_VERSION, EventType

    fields = sent()
    kinds = [kind for kind in get_args(EventType) if kind in fields]
    rows = [f"| `{kind}` | {WHEN[kind]} | {_fields(fields[kind])} |" for kind in kinds]
    unsent = [f"`{kind}`" for kind in get_args(EventType) if kind not in fields]
    more = f"\n\nNot sent in this version: {', '.join(unsent)}." if unsent else ""
    return (
        '## Events\n\nUnder `stream_mode="custom"`; in a parent graph with `subgraphs=True`. Each is a dict of plain '
        f"values with `type`,\n`version` ({EVENT_VERSION}), `seq` (from 1 within one call), `run`, `turn`, `depth`, "
        "`at` (UTC, ISO 8601), and:\n\n| type | when | more fields |\n|---|---|---|\n" + "\n".join(rows) + more + "\n"
    )


def _fields(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _kind(call: ast.Call) -> str | None:
    """The type of the event that this call emits, if it does."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "emit" and call.args):
        return None
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _errors() -> str:
    from rlm_agent import errors

    return f"## Errors\n\n{inspect.cleandoc(errors.__doc__ or '')}\n"


if __name__ == "__main__":
    PAGE.write_text(build(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")
