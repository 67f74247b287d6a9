"""The plugin `mcp`: the tools of one MCP server, started as a process (stdio) or reached over HTTP.

Owns: settings and listing. Invariant: each call opens a session of its own on the event loop it runs on, so that any
loop, sync entry and a resume in another process find the same; nothing that a server keeps between calls is relied on.
The protocol is langchain-mcp-adapters' (extra `mcp`).
"""

import asyncio
import shlex
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlm_agent.bridge import run_sync
from rlm_agent.environment import passed_on
from rlm_agent.errors import ToolError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

__all__ = ["tools"]

_SETTINGS = ("command", "url", "env", "prefix", "only", "seconds")
_USE = "write mcp:command=PROGRAM ARGUMENTS, or mcp:url=ADDRESS"


def tools(settings: Mapping[str, str]) -> "list[BaseTool]":
    """Asks the server which tools it has; this starts it once.

    Args:
        settings: `command` (a program with its arguments, quoted as in a shell) or `url` (streamable HTTP); `env`:
            names of environment variables that the program gets, separated by spaces; `prefix`: goes before the names
            of the tools, with an underscore; `only`: names of the tools that are wanted, separated by spaces;
            `seconds`: how long the server may take to list its tools (30).

    Raises:
        ValueError: a setting is missing, unknown or wrong.
        ToolError: the extra is not installed, or the server cannot be spoken to.
    """
    connection = _connection(settings)
    seconds = settings.get("seconds", "30")
    if not seconds.isdecimal() or int(seconds) == 0:
        raise ValueError(f"seconds={seconds}: give a whole number above 0")
    found = _listed(connection, settings.get("prefix", ""), int(seconds))
    return _chosen(found, settings.get("only", "").split())


def _connection(settings: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(set(settings) - set(_SETTINGS))
    if unknown:
        raise ValueError(f"no setting is named {unknown[0]!r}; there are {', '.join(_SETTINGS)}")
    command, url = settings.get("command"), settings.get("url")
    if bool(command) == bool(url):
        raise ValueError(f"give either command or url: {_USE}")
    if url:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url={url}: give an address that begins with http:// or https://")
        return {"transport": "streamable_http", "url": url}
    program, *arguments = shlex.split(str(command))
    if shutil.which(program) is None:
        raise ValueError(f"there is no program {program!r} to start: {_USE}")
    return {
        "transport": "stdio",
        "command": program,
        "args": arguments,
        "env": passed_on(settings.get("env", "").split()) or None,
    }


def _listed(connection: dict[str, Any], prefix: str, seconds: int) -> "list[BaseTool]":
    try:
        from langchain_mcp_adapters.client import MultiServerMCPClient
    except ModuleNotFoundError as error:
        raise ToolError(f"{error.name} is not installed: pip install 'langgraph-rlm[mcp]'") from error
    connections: dict[str, Any] = {prefix or "mcp": connection}
    client = MultiServerMCPClient(connections, tool_name_prefix=bool(prefix))

    async def listed() -> Any:
        async with asyncio.timeout(seconds):
            return await client.get_tools()

    try:
        return list(run_sync(listed))
    except TimeoutError as error:
        raise ToolError(f"the server did not list its tools within {seconds} s") from error
    except Exception as error:  # whatever a foreign server's start ends in
        raise ToolError(f"the server cannot be spoken to: {_innermost(error)}") from error


def _innermost(error: BaseException) -> str:
    """The first real error of a group, which the task groups of the client wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _chosen(found: "list[BaseTool]", only: list[str]) -> "list[BaseTool]":
    names = [tool.name for tool in found]
    missing = [name for name in only if name not in names]
    if missing:
        raise ValueError(f"only={missing[0]}: the server has no such tool; it has {', '.join(names) or 'none'}")
    return [_with_sync_form(tool) for tool in found if not only or tool.name in only]


def _with_sync_form(tool: "BaseTool") -> "BaseTool":
    """The same tool, which may also be invoked without a loop; the adapter's own are async only."""
    coroutine: Any = getattr(tool, "coroutine", None)

    def call(*args: Any, **arguments: Any) -> Any:
        return run_sync(lambda: coroutine(*args, **arguments))

    return tool.model_copy(update={"func": call}) if coroutine is not None else tool
