"""A run with calls that act once, as `python once_run.py HOME LOGS`; prints what came of it.

The root calls a host function, and a sub-agent a tool; both are marked to act once, and count their calls in LOGS.
"""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from payments import note_call

from rlm_agent import Home, create_rlm_agent
from rlm_agent.testing import ScriptedModel

ONCE = {"rlm": {"effect": "once"}}
CELLS = [
    "try:\n    paid = pay(3)\nexcept Exception as error:\n    paid = str(error)",
    "sent = llm('send it', tools=['send'])\n"
    "answer['content'] = {'paid': paid, 'sent': str(sent), 'error': sent.error}\nanswer['ready'] = True",
]


def root(messages: list[Any]) -> str:
    return f"```python\n{CELLS[sum(message.type == 'ai' for message in messages)]}\n```"


def sub(messages: list[Any]) -> Any:
    if messages[-1].type == "tool":
        return f"{messages[-1].status}: {messages[-1].content}"
    return AIMessage("", tool_calls=[{"name": "send", "args": {"what": "글"}, "id": uuid.uuid4().hex}])


def main(home: str, logs: str) -> None:
    def pay(amount: int) -> str:
        """Pays."""
        note_call(Path(logs), "function", str(amount))
        return f"paid {amount}"

    def send(what: str) -> str:
        """Sends."""
        note_call(Path(logs), "tool", what)
        return f"sent {what}"

    pay.metadata = ONCE  # type: ignore[attr-defined]
    with Home(home) as opened:
        agent = create_rlm_agent(
            ScriptedModel(replies=root, log=Path(logs) / "models.jsonl", model_name="root"),
            [StructuredTool.from_function(send, metadata=ONCE)],
            sub_model=ScriptedModel(replies=sub, log=Path(logs) / "models.jsonl", model_name="sub"),
            repl_functions=[pay],
            home=opened,
            checkpointer=opened.checkpointer,
        )
        given: Any = {"messages": [("user", "q")]}
        out = agent.invoke(given, {"configurable": {"thread_id": "once"}})
    print(json.dumps(out["rlm"]["content"]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
