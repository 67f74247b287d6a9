"""Question answering over documents that no model can read: the context is a corpus handle, sub-agents have no tools.

The models come from RLM_MODEL; without it the offline stand-in answers lookup questions, and says that it is no
language model. Over HTTP the input's `context` is a handle that `Corpus.load` made, never a path.
"""

from typing import Any

from rlm_agent import create_rlm_agent
from rlm_agent.environment import rlm_model

__all__ = ["GUIDANCE", "document_qa", "graph"]

GUIDANCE = """\
The context is a collection of documents. Quote what you rely on, with its path, in the answer. When the documents do
not answer the question, say so instead of answering from memory."""


def document_qa(model: str | Any, **options: Any) -> Any:
    """The document QA agent with any model; `options` are those of `create_rlm_agent`."""
    guidance = "\n\n".join(filter(None, [GUIDANCE, options.pop("system_prompt", None)]))
    return create_rlm_agent(model, system_prompt=guidance, **{"name": "document_qa", **options})


def graph() -> Any:
    """What LangGraph's server loads; the server brings its own checkpointer."""
    return document_qa(rlm_model() or "offline")
