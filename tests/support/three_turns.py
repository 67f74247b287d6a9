"""A run of three turns: variables are made, a cell does its worst, and what is left is the answer."""

from typing import Any

from rlm_agent import Limits, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel

__all__ = ["all_of", "fenced", "run"]

BEFORE = "kept = ['앞', 1]\ntable = np.arange(5)"
AFTER = "answer['content'] = [kept, int(table.sum()), 'late' in globals()]\nanswer['ready'] = True"


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def run(code: str, limits: Limits) -> Any:
    """Three turns: variables are made, the fault, and what is left. Returns the last two, and what came of the run."""
    root = ScriptedModel(replies=[fenced(BEFORE), fenced(code), fenced(AFTER)])
    agent = create_rlm_agent(root, sub_model=ScriptedModel(replies=lambda _: "late"), limits=limits)
    result = agent.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "fault"}})
    turns = open_run("fault").turns
    assert len(turns) == 3
    return turns[1:], result["rlm"]


def all_of(turn: Any) -> str:
    """What a turn printed, how it failed and what it lost."""
    return f"{turn.output}\n{turn.error or ''}\n{turn.lost}"
