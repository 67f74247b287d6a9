"""Research on the web: sub-agents search and read, the answer has numbered sources, and code compares their quotes.

Each quote is looked for in the bytes that were fetched in this run, after a resume too; one that is not there is
flagged in the answer (`citations.py`). Searching needs $TAVILY_API_KEY, or tools of your own: tools=["web:corpus=DIR"].
"""

from collections.abc import Sequence
from typing import Any

from langchain_core.tools import BaseTool, ToolException

from rlm_agent import ConfigError, create_rlm_agent
from rlm_agent.environment import rlm_model
from rlm_agent_graphs.citations import checked, cited
from rlm_agent_tools.web import SearchResult, web_tools

__all__ = ["GUIDANCE", "graph", "research"]

GUIDANCE = """\
The answer comes from the web. Split the question into narrow ones and send them to sub-agents in one batch; ask each
for claims, and for each claim the exact address that it opened and one sentence copied from it word for word. Use only
addresses that are among the `.sources` of a result. Write a text that cites its sources as [1], [2], and make the
answer with `answer["content"] = cited(text, sources)`, sources being [{"url": ..., "quote": ...}, ...] in that order.
Look at what it returned before you set `ready`: a quote that is NOT CONFIRMED was not found on the page; ask again for
the exact words, or leave the claim out. What the web does not answer, say so."""


def research(model: str | Any, tools: Sequence[Any] | None = None, **options: Any) -> Any:
    """The research agent with any model.

    Args:
        model: as `create_rlm_agent` takes it.
        tools: of the sub-agents; default: web_search (Tavily) and fetch_page.
        options: those of `create_rlm_agent`; functions of `repl_functions` join `cited`, and a `check` is asked once
            the sources are as they must be.
    """
    check, guidance = options.pop("check", None), options.pop("system_prompt", None)
    functions = [cited, *options.pop("repl_functions", ())]
    named = {"name": "research", **options}
    return create_rlm_agent(
        model,
        _default_tools() if tools is None else tools,
        system_prompt="\n\n".join(filter(None, [GUIDANCE, guidance])),
        repl_functions=functions,
        check=_both(check),
        **named,
    )


def graph() -> Any:
    """What LangGraph's server loads; the server brings its own checkpointer."""
    return research(rlm_model() or "offline")


def _both(check: Any) -> Any:
    from rlm_agent.host_functions.calling import call_user_code

    async def both(content: Any) -> str | None:
        complaint = await checked(content)
        return complaint if complaint or check is None else await call_user_code(check, content)

    return both


def _default_tools() -> list[BaseTool]:
    try:
        return web_tools()
    except ConfigError as error:
        return web_tools(_NoSearch(str(error)))


class _NoSearch:
    """The search where there is no key: the agent loads, and a sub-agent that searches reads what is missing."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        raise ToolException(self._why)
