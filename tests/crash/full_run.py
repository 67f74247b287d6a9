"""A run whose disk fills up while replies are on their way, as `python full_run.py HOME LOGS`; prints JSON twice.

The process may write no file beyond the size that the home's log has at the fifth sub-call: what it got is printed.
Then there is room again, and the run is gone on with.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from rlm_agent import Home, HomeError, Limits, create_rlm_agent
from rlm_agent.testing import ScriptedModel

CALLS = 20
CELLS = [
    f"replies = llm_batch([f'item {{i}}' for i in range({CALLS})])",
    "answer['content'] = [str(r) for r in replies]\nanswer['ready'] = True",
]


def root(messages: list[Any]) -> str:
    return f"```python\n{CELLS[sum(message.type == 'ai' for message in messages)]}\n```"


def main(home: str, logs: str) -> None:
    log, seen, (_, most) = Path(logs) / "models.jsonl", [], resource.getrlimit(resource.RLIMIT_FSIZE)

    def sub(messages: list[Any]) -> str:
        seen.append(1)
        if len(seen) == 5:
            size = (Path(home) / "home.db-wal").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
        return f"{messages[-1].content}!"

    with Home(home) as opened:
        agent = create_rlm_agent(
            ScriptedModel(replies=root, log=log, model_name="root"),
            sub_model=ScriptedModel(replies=sub, delay=0.05, log=log, model_name="sub"),
            limits=Limits(concurrency=4),
            home=opened,
            checkpointer=opened.checkpointer,
        )
        config: Any = {"configurable": {"thread_id": "full"}}
        try:
            agent.invoke({"messages": [("user", "q")]}, config)
        except HomeError as error:
            print(json.dumps({"error": str(error)}), flush=True)
        sys.stdin.readline()
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        print(json.dumps(agent.invoke(None, config)["rlm"]["content"]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
