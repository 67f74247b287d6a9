"""A tool of your own: sub-agents look orders up in a database; the root sees their answers, never the tool.

Run it with `python examples/05_custom_tool.py`. Without RLM_MODEL scripted models play root and sub-agent (no language
model); with it a model does. A tool that others should have, too, is a plugin: see docs/plugins.md.
"""

import os
import re
import sqlite3

from langchain_core.messages import AIMessage

from rlm_agent import Budget, create_rlm_agent
from rlm_agent.testing import ScriptedModel

orders = sqlite3.connect(":memory:", check_same_thread=False)
orders.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY, state TEXT)")
orders.executemany("INSERT INTO orders VALUES (?, ?)", [(n, ["paid", "open", "late"][n % 3]) for n in range(1000)])


def order_state(number: int) -> str:
    """Tells the state of an order by its number."""
    found = orders.execute("SELECT state FROM orders WHERE number = ?", (number,)).fetchone()
    if found is None:
        raise ValueError(f"there is no order {number}")  # the sub-agent reads this; the run goes on
    return str(found[0])


LETTERS = "\n".join(f"Letter {n}: where is my order {n * 31}?" for n in range(40))
TASK = "Each letter asks about an order. How many of these orders are in which state, and which do not exist?"
CELL = r"""```python
import re
from collections import Counter
numbers = re.findall(r"order (\d+)", context)
states = llm_batch([f"In which state is order {n}? Reply with the state, or MISSING." for n in numbers])
missing = [n for n, state in zip(numbers, states) if state == "MISSING"]
answer["content"] = {**Counter(map(str, states)), "numbers that are MISSING": missing}
answer["ready"] = True
```"""


def sub_agent(messages: list) -> AIMessage:
    last = messages[-1]
    if last.type == "tool":
        return AIMessage("MISSING" if last.status == "error" else last.text)
    call = {"name": "order_state", "args": {"number": re.findall(r"\d+", last.text)[0]}, "id": "1"}
    return AIMessage("", tool_calls=[call])


model = os.environ.get("RLM_MODEL")
agent = create_rlm_agent(
    model or ScriptedModel([CELL]), [order_state], sub_model=model or ScriptedModel(sub_agent), budget=Budget(usd=1)
)
out = agent.invoke({"messages": [("user", TASK)], "context": LETTERS})
print(out["rlm"]["content"])
print(out["rlm"]["usage"]["sub"]["calls"], "calls by sub-agents, two for each order")
