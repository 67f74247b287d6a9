"""`rlm tips`: the strategies that `rlm run --tips NAME` adds to the root's prompt."""

from typing import Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import JsonOption
from rlm_agent.cli.terminal import json_text, show

__all__ = ["tips"]


@reported
def tips(
    name: Annotated[str | None, typer.Argument(help="The strategy to print; default: a line on each.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Lists the built-in strategies, or prints one as the root reads it. None is on by default."""
    from rlm_agent.root.tips import tip, tip_names

    texts = {each: tip(each) for each in ([name] if name else tip_names())}
    if as_json:
        show(json_text(texts))
    elif name:
        show(texts[name])
    else:
        show("\n".join(f"{each:<34} {_purpose(text)}" for each, text in texts.items()))
    return Code.ANSWERED


def _purpose(text: str) -> str:
    """The first sentence under the heading: what the strategy is for."""
    first = text.split("\n\n")[1]
    ends = [end for sign in (". ", ": ") if (end := first.find(sign)) > 0]
    return first[: min(ends, default=len(first))]
