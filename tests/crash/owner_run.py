"""A run for two owners, as `python owner_run.py HOME LOGS WHAT ...`; prints one line of JSON for each question.

    both N ME WAIT   goes on with the threads 0 to N-1, each at the instant at which the other process does so, too
    slow             asks a question whose batch takes a while, under a lease of one second

Root and sub-agents log their calls under the name of the thread.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from rlm_agent import Home, LeaseHeld, Limits, create_rlm_agent
from rlm_agent.entries import activity
from rlm_agent.store.leases import Leases
from rlm_agent.testing import ScriptedModel

CALLS = 8
CELLS = [
    f"replies = llm_batch([f'item {{i}}' for i in range({CALLS})])",
    "answer['content'] = [str(r) for r in replies]\nanswer['ready'] = True",
]


def root(messages: list[Any]) -> str:
    return f"```python\n{CELLS[sum(message.type == 'ai' for message in messages)]}\n```"


def sub(messages: list[Any]) -> str:
    return f"{messages[-1].content}!"


def build(home: Home, logs: Path, thread: str, delay: float) -> Any:
    log = logs / "models.jsonl"
    return create_rlm_agent(
        ScriptedModel(replies=root, delay=delay, log=log, model_name=f"root {thread}"),
        sub_model=ScriptedModel(replies=sub, delay=delay, log=log, model_name=f"sub {thread}"),
        limits=Limits(concurrency=2),
        home=home,
        checkpointer=home.checkpointer,
    )


def ask(agent: Any, given: Any, thread: str) -> None:
    try:
        out = agent.invoke(given, {"configurable": {"thread_id": thread}})
        print(json.dumps({"content": out["rlm"]["content"]}), flush=True)
    except LeaseHeld as error:
        print(json.dumps({"error": type(error).__name__, "text": str(error)}), flush=True)


def meet(logs: Path, thread: int, me: str) -> None:
    """Waits until the other process is here, too."""
    (logs / f"at-{thread}-{me}").touch()
    while len(list(logs.glob(f"at-{thread}-*"))) < 2:
        time.sleep(0.001)


def both(home: Home, logs: Path, number: str, me: str, wait: str) -> None:
    for thread in range(int(number)):
        agent = build(home, logs, str(thread), 0.05)
        meet(logs, thread, me)
        with activity.lease_wait(float(wait)):
            ask(agent, None, str(thread))


def slow(home: Home, logs: Path) -> None:
    home.leases = Leases(home._database, ttl=1.0, beat=0.25)
    ask(build(home, logs, "slow", 0.2), {"messages": [("user", "q")]}, "slow")


def main(home: str, logs: str, what: str, *arguments: str) -> None:
    with Home(home) as opened:
        {"both": both, "slow": slow}[what](opened, Path(logs), *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
