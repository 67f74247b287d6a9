"""A run whose prompts hold times and random bytes, as `python clock_scenario.py HOME LOG`; prints the outcome as JSON.

One turn of three blocks: readings of the clock and no request, a host function and a batch of 20, a batch of 40 whose
prompts come of all that was read and drawn before. The root knows its turn from its prompt alone.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rlm_agent import Home, create_rlm_agent
from rlm_agent.testing import ScriptedModel

CALLS = 60
REPLY = """```python
import random, secrets, time, uuid
from datetime import date, datetime, timezone
started = time.time(), uuid.uuid4()
```
```python
def stamp():
    return f"{time.time()} {datetime.now()} {datetime.now(timezone.utc)} {uuid.uuid4()} {secrets.token_hex(4)}"
seen = noted(f"{stamp()} {started}")
first = llm_batch([f"{stamp()} {i}" for i in range(20)])
```
```python
draws = np.random.default_rng().random(3), random.Random().random(), random.SystemRandom().random()
known = f"{started} {seen} {draws} {date.today()} {time.ctime()}"
then = llm_batch([f"{stamp()} {known} {first[i % 20]}" for i in range(40)])
answer["content"] = [len({*first, *then}), str(started[1]), time.time() > started[0]]
answer["ready"] = True
```"""


def sub(messages: list[Any]) -> str:
    return f"re: {messages[-1].content}"


def noted(text: str) -> str:
    """What the host says of it."""
    return text[::-1]


def main(home: str, log: str) -> None:
    with Home(home) as opened:
        agent = create_rlm_agent(
            ScriptedModel([REPLY], log=Path(log), model_name="root"),
            sub_model=ScriptedModel(replies=sub, delay=0.05, log=Path(log), model_name="sub"),
            repl_functions=[noted],
            home=opened,
            checkpointer=opened.checkpointer,
        )
        out = agent.invoke({"messages": [("user", "the question")]}, {"configurable": {"thread_id": "crash"}})
        (run,) = opened.runs.list("crash")
        turns = [[batch.replayed for batch in turn.batches] for turn in opened.turns.list(run.id)]
        steps = {kind: opened.ledger.count(run.id, kind) for kind in ("slot", "function", "clock")}
    print(json.dumps({**out["rlm"], "replayed": turns, "steps": steps}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
