"""The run that the crash tests kill, as `python scenario.py HOME LOG DURABILITY PLACE`; prints the outcome as JSON.

Three turns: values of many kinds, then a batch of 40 sub-calls of 50 ms, then an answer out of both. The script of the
root knows its turn from its prompt alone, so that any process can go on with it.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages

from rlm_agent import Home, Limits, create_rlm_agent
from rlm_agent.testing import ScriptedModel

CALLS = 40
CELLS = [
    """
import random
def double(x):
    return scale * x
class Box:
    def __init__(self, value):
        self.value = value
    def grown(self):
        return Box(double(self.value))
def counter():
    n = 0
    def step():
        nonlocal n
        n += 1
        return n
    return step
scale = 2
box, tick, grid = Box(21), counter(), np.arange(12).reshape(3, 4)
row = grid[1]
tick(); tick()
luck = random.random()
""",
    f"""
draw = random.random()
replies = llm_batch([f"item {{i}}" for i in range({CALLS})])
scale = 10
""",
    """
row[0] = 100
answer["content"] = [box.grown().value, tick(), int(grid[1, 0]), len(replies), sorted(map(str, replies))[-1],
                     luck == draw, draw == random.random(), sum(map(int, replies))]
answer["ready"] = True
""",
]


def root(messages: list[Any]) -> str:
    done = sum(message.type == "ai" for message in messages)
    return f"```python{CELLS[done]}```"


def sub(messages: list[Any]) -> str:
    return str(int(messages[-1].content.split()[-1]) ** 2)


def build(home: Home, log: Path, place: str) -> Any:
    """The agent alone, or as a node of a parent that has the saver; "few": alone, four slow calls at a time."""
    few = place == "few"
    agent = create_rlm_agent(
        ScriptedModel(replies=root, log=log, model_name="root"),
        sub_model=ScriptedModel(replies=sub, delay=0.3 if few else 0.05, log=log, model_name="sub"),
        home=home,
        checkpointer=home.checkpointer if place != "node" else None,
        limits=Limits(concurrency=4) if few else None,
    )
    if place != "node":
        return agent
    parent = StateGraph(Host)
    parent.add_node("research", agent)
    parent.add_edge(START, "research")
    return parent.compile(checkpointer=home.checkpointer)


class Host(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    context: Any
    rlm: dict[str, Any]


def main(home: str, log: str, durability: Any, place: str) -> None:
    with Home(home) as opened:
        graph = build(opened, Path(log), place)
        config: Any = {"configurable": {"thread_id": "crash"}}
        given: Any = {"messages": [("user", "the question")], "context": "some text"}
        if place == "node" and opened.checkpointer.get_tuple(config) is not None:
            given = None
        out = graph.invoke(given, config, durability=durability)
    print(json.dumps(out["rlm"]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
