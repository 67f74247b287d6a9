"""A run with children two levels deep, as `python recursion_run.py HOME LOGS`; prints what came of it.

The top asks two children, each of which asks sub-agents and one child of its own; every model call is counted in LOGS.
Prompts hold a random number, so that a child whose variables were not brought back would ask for something else.
"""

import json
import sys
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage

from rlm_agent import Home, create_rlm_agent
from rlm_agent.testing import ScriptedModel

READY = "answer['ready'] = True"
TOP = [
    "kept = [len(context)]\nparts = [str(r) for r in rlm_batch(['left', 'right'], context=context)]",
    f"answer['content'] = [parts, kept]\n{READY}",
]
CHILD = [
    "import random\nluck = random.random()",
    "seen = [str(r) for r in llm_batch([f'{task}{word} {luck}' for word in context.split()])]",
    "deep = rlm('deepest ' + task, context='가나다')",
    f"answer['content'] = [seen, str(deep)]\n{READY}",
]
DEEPEST = ["size = len(context)", f"answer['content'] = f'{{task}} {{size}}'\n{READY}"]


def root(messages: list[Any]) -> str:
    return fenced(TOP, messages)


def sub(messages: list[Any]) -> str:
    if not isinstance(messages[0], SystemMessage):
        return str(messages[-1].content).upper().split()[0]
    task = next(str(m.content) for m in messages if isinstance(m, HumanMessage))
    return fenced(DEEPEST if task.startswith("deepest") else CHILD, messages)


def fenced(cells: list[str], messages: list[Any]) -> str:
    return f"```python\n{cells[sum(message.type == 'ai' for message in messages)]}\n```"


def main(home: str, logs: str) -> None:
    log = Path(logs) / "models.jsonl"
    with Home(home) as opened:
        agent = create_rlm_agent(
            ScriptedModel(replies=root, log=log, model_name="root"),
            sub_model=ScriptedModel(replies=sub, log=log, model_name="sub"),
            home=opened,
            checkpointer=opened.checkpointer,
            max_depth=2,
        )
        given: Any = {"messages": [("user", "q")], "context": "one 둘 three"}
        out = agent.invoke(given, {"configurable": {"thread_id": "deep"}})
    rlm = out["rlm"]
    print(json.dumps({"content": rlm["content"], "calls": rlm["usage"]["total"]["calls"]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
