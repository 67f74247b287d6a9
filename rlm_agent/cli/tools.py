"""`rlm tools`: what the installed plugins give sub-agents: tools by name, origin and arguments.

Invariant: a plugin that is broken costs its own lines only, and is named. Left to others: what a plugin is
(`rlm_agent/plugins.py`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.terminal import first_words, json_text, one_line, say, show
from rlm_agent.errors import RLMError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from rlm_agent.plugins import Plugin

__all__ = ["tools"]


@reported
def tools(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME[:k=v,...]]...", help="Plugins, as --tool of rlm run takes them; default: all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout and nothing else.")] = False,
) -> int:
    """Lists the tools that sub-agents can be given: name, where it comes from, arguments and what it does.

    A plugin that cannot be loaded is a warning on stderr. Exit code 1: two plugins have one name, or one that was
    named here gives no tools.
    """
    rows, failed = (_named(names), False) if names else _all()
    if as_json:
        show(json_text(rows))
    elif rows:
        show("\n".join(_lines(rows)))
    elif not failed:
        say("no plugin is installed: pip install a package that has one (docs/plugins.md)")
    return Code.FAILED if failed else Code.ANSWERED


def _named(references: Sequence[str]) -> list[dict[str, Any]]:
    from rlm_agent.plugins import named, read_reference

    rows: list[dict[str, Any]] = []
    for reference in references:
        name, settings = read_reference(reference)
        plugin = named(name)
        rows += [_row(plugin, tool) for tool in plugin.tools(settings)]
    return rows


def _all() -> tuple[list[dict[str, Any]], bool]:
    """All that is installed, and whether names clash."""
    from rlm_agent.plugins import installed

    found = installed()
    counts = Counter(plugin.name for plugin in found)
    clashes = [name for name, count in counts.items() if count > 1]
    for name in clashes:
        origins = " and ".join(plugin.origin for plugin in found if plugin.name == name)
        say(f"rlm: two plugins are named {one_line(name)!r}, of {one_line(origins)}: uninstall one of them")
    return [row for plugin in found if plugin.name not in clashes for row in _rows(plugin)], bool(clashes)


def _rows(plugin: "Plugin") -> Iterator[dict[str, Any]]:
    """A row for each tool; one that says so for a plugin that needs settings; a warning for one that is broken."""
    from rlm_agent.plugins import SettingsRefused

    try:
        made = plugin.tools()
    except SettingsRefused as error:
        yield {**_row(plugin, None), "needs": one_line(str(error.__cause__))}
        return
    except RLMError as error:
        say(f"warning: {one_line(str(error))}")
        return
    yield from (_row(plugin, tool) for tool in made)


def _row(plugin: "Plugin", tool: "BaseTool | None") -> dict[str, Any]:
    origin = {"distribution": plugin.distribution, "version": plugin.version}
    row: dict[str, Any] = {"plugin": plugin.name, "origin": origin, "tool": None, "description": None, "arguments": {}}
    if tool is None:
        return row
    return {**row, "tool": tool.name, "description": first_words(tool.description, 200), "arguments": _arguments(tool)}


def _arguments(tool: "BaseTool") -> dict[str, dict[str, Any]]:
    """What a model may give, by name: type, whether it must, and its default."""
    given: Any = tool.tool_call_schema
    schema = given if isinstance(given, dict) else given.model_json_schema()
    needed = schema.get("required", ())
    return {
        name: {
            "type": _type(field),
            "required": name in needed,
            **({"default": field["default"]} if "default" in field else {}),
            **({"description": field["description"]} if "description" in field else {}),
        }
        for name, field in schema.get("properties", {}).items()
    }


def _type(field: dict[str, Any]) -> str:
    if isinstance(kind := field.get("type"), str):
        return kind
    options = field.get("anyOf") or field.get("oneOf") or []
    return " | ".join(dict.fromkeys(_type(option) for option in options)) or "any"


def _lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    before = None
    for row in rows:
        if (plugin := row["plugin"]) != before:
            origin = " ".join(row["origin"].values())
            yield one_line(f"{plugin} ({origin})")
            before = plugin
        if row["tool"] is None:
            yield f"  needs settings: {row['needs']}"
        else:
            yield f"  {one_line(row['tool'])}({', '.join(map(_argument, row['arguments'].items()))})"
            yield f"      {row['description']}"


def _argument(named: tuple[str, dict[str, Any]]) -> str:
    name, field = named
    if field["required"]:
        return one_line(f"{name}: {field['type']}")
    return one_line(f"{name}: {field['type']} = {json_text(field.get('default'))}")
