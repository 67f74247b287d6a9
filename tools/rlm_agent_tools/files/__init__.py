"""File tools for sub-agents: read_file, list_files, find_files, grep_files, jailed to the roots they were given.

The plugin `files`: `files:roots=./docs` (several roots: separated by ":"), `hidden=true` for names that begin with a
dot. `file_tools(["./docs"])` makes the same tools in Python. What is guarded and what is not: docs/tools.md.
"""

import os
from collections.abc import Iterable, Mapping, Sequence

from langchain_core.tools import BaseTool, StructuredTool

from rlm_agent.errors import ConfigError
from rlm_agent_tools.files.jail import Jail
from rlm_agent_tools.files.reading import reader
from rlm_agent_tools.files.searching import finder, grepper, lister
from rlm_agent_tools.settings import flag, known

__all__ = ["file_tools", "tools"]


def file_tools(roots: Sequence[str | os.PathLike[str]], *, hidden: bool = False) -> list[BaseTool]:
    """The four tools over these directories.

    Args:
        roots: what they may read; opened now.
        hidden: whether names that begin with a dot are open to them.

    Raises:
        ConfigError: a root is no directory, or two of them have one name.
    """
    jail = Jail(roots, hidden=hidden)
    functions = (reader(jail), lister(jail), finder(jail), grepper(jail))
    return [
        StructuredTool.from_function(
            function,
            parse_docstring=True,
            response_format="content_and_artifact",
            handle_tool_error=True,
        )
        for function in functions
    ]


def tools(settings: Mapping[str, str]) -> Iterable[BaseTool]:
    """The plugin's entry point.

    Args:
        settings: `roots`, paths separated by ":"; `hidden`, "true" or "false".

    Raises:
        ConfigError: a setting is unknown or cannot work.
    """
    known("files", settings, ("roots", "hidden"))
    roots = [root for root in settings.get("roots", "").split(os.pathsep) if root]
    if not roots:
        raise ConfigError("The file tools need a root: files:roots=DIRECTORY (several: separated by ':').")
    return file_tools(roots, hidden=flag("files", settings, "hidden"))
