"""The sub-agents' tools, by name, out of what `tools=` was given: tools, functions, names of plugins.

Invariant: no two tools of one name; an error names where both come from. Left to others: what a plugin is
(`plugins.py`), and who calls a tool (`tool_agent.py`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.tools import BaseTool, tool

from rlm_agent.errors import ConfigError
from rlm_agent.plugins import named, read_reference
from rlm_agent.sub_agents.effects import acts_once

__all__ = ["as_tool", "toolbox"]


def toolbox(given: Sequence[Any]) -> dict[str, BaseTool]:
    """The tools by name.

    Raises:
        ConfigError: an item is neither tool, function nor the name of a plugin, or two tools have one name.
        ToolError: a plugin is broken, or refuses its settings.
    """
    if isinstance(given, str):
        raise ConfigError(f"tools={given!r}: give a list, such as tools=[{given!r}].")
    found: dict[str, tuple[BaseTool, str]] = {}
    for made, origin in _with_origins(given):
        if made.name in found:
            first = found[made.name][1]
            raise ConfigError(
                f"tools: two tools are named {made.name!r}, {first} and {origin}; leave one out or rename it."
            )
        acts_once(made)  # a mark that means nothing is refused
        found[made.name] = (made, origin)
    return {name: made for name, (made, _) in found.items()}


def as_tool(item: Any) -> BaseTool:
    """A tool as it is, or one made of a function.

    Raises:
        ConfigError: it is neither, or a function that tells too little of itself.
    """
    if isinstance(item, BaseTool):
        return item
    if not callable(item):
        raise ConfigError(f"tools: {item!r} is neither a tool nor a function.")
    try:
        made: BaseTool = tool(item)
        return made
    except ValueError as error:
        raise ConfigError(f"tools: {getattr(item, '__name__', item)!r} cannot be a tool: {error}") from error


def _with_origins(given: Sequence[Any]) -> Iterator[tuple[BaseTool, str]]:
    for place, item in enumerate(given):
        if isinstance(item, str):
            name, settings = read_reference(item)
            plugin = named(name)
            for made in plugin.tools(settings):
                yield made, f"that of the plugin {name!r} ({plugin.origin})"
        else:
            yield as_tool(item), f"the one given as tools[{place}]"
