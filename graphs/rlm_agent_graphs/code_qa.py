"""Question answering over a repository: the context is the handle of its directory, path -> text.

The REPL has a map of the repository and what `ast` tells of its Python files (`code_map.py`, which runs in the worker:
a repository is as untrusted as any input). Sub-agents have no tools: the root hands them the code that they read.
"""

from importlib import resources
from typing import Any

from rlm_agent import create_rlm_agent
from rlm_agent.environment import rlm_model
from rlm_agent.repl_code import ReplCode

__all__ = ["GUIDANCE", "code_qa", "graph"]

GUIDANCE = """\
The context is a source repository, path -> text. Begin with `print(repo_map(context))`; find what the question is about
with `find_symbol`, `references` and search in code, and print only the definitions that matter (`source`). Let
sub-agents read long or many files, each with its path and its whole text in the prompt. Name what you rely on as
path:line. When the repository does not answer the question, say so instead of answering from memory."""


def code_qa(model: str | Any, **options: Any) -> Any:
    """The code QA agent with any model; `options` are those of `create_rlm_agent`."""
    guidance = "\n\n".join(filter(None, [GUIDANCE, options.pop("system_prompt", None)]))
    functions = [ReplCode(_source()), *options.pop("repl_functions", ())]
    return create_rlm_agent(model, system_prompt=guidance, repl_functions=functions, **{"name": "code_qa", **options})


def graph() -> Any:
    """What LangGraph's server loads; the server brings its own checkpointer."""
    return code_qa(rlm_model() or "offline")


def _source() -> str:
    return resources.files("rlm_agent_graphs").joinpath("code_map.py").read_text("utf-8")
