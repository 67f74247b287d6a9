"""Strategies that a caller may add to the root's prompt: Markdown files in `prompts/tips`, one a file, named by it.

Invariant: none is on unless it was named; a name that is none is an error, never a text. Left to others: where they
stand in the prompt (`prompt.py`).
"""

import difflib
from collections.abc import Sequence
from importlib import resources

from rlm_agent.errors import ConfigError
from rlm_agent.prompts import render

__all__ = ["tip", "tip_names", "tip_texts"]


def tip_names() -> list[str]:
    """The names of the built-in strategies, sorted."""
    files = resources.files("rlm_agent.prompts").joinpath("tips").iterdir()
    return sorted(file.name.removesuffix(".md") for file in files if file.name.endswith(".md"))


def tip(name: str) -> str:
    """The text of a built-in strategy.

    Raises:
        ConfigError: there is none of that name.
    """
    names = tip_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"tips: no strategy is named {name!r}.{meant} Names: {', '.join(names)}. A text of your own has more than "
            "one word; a single one goes into system_prompt."
        )
    return render(f"tips/{name}")


def tip_texts(given: Sequence[str], *, sub_calls: bool = True) -> tuple[str, ...]:
    """The texts of strategies that were given by name or as text. What has no white space in it is a name.

    Args:
        sub_calls: whether the root has sub-agents.

    Raises:
        ConfigError: a name is unknown, comes twice, or needs sub-agents that there are not.
    """
    if isinstance(given, str):
        raise ConfigError(f"tips={given!r}: give a list, such as tips=[{given!r}].")
    texts: list[str] = []
    for item in given:
        if not isinstance(item, str) or not item.strip():
            raise ConfigError(f"tips: {item!r} is neither a name nor a text.")
        text = item.strip() if len(item.split()) > 1 else tip(item.strip())
        if text in texts:
            raise ConfigError(f"tips: {item[:60]!r} is given twice.")
        if text != item.strip() and not sub_calls and "llm_batch" in text:
            raise ConfigError(f"tips: {item!r} asks sub-agents, and max_depth=0 leaves none; leave it out.")
        texts.append(text)
    return tuple(texts)
