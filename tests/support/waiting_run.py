"""A host's program whose runs wait for a person when it ends, as `python waiting_run.py HOME [THREAD GATED]...`.

On each thread the root is asked the thread's name; GATED is the tool that needs a person's word, or "llm_batch". What
waits is printed as (id, arguments), a line of JSON a thread.
"""

import json
import sys
from typing import Any

from rlm_agent import Home, create_rlm_agent


def main(home: str, *asked: str) -> None:
    with Home(home) as opened:
        for thread, gated in zip(asked[::2], asked[1::2], strict=True):
            kept: Any = {"home": opened, "checkpointer": opened.checkpointer}
            agent = create_rlm_agent("openai:gpt-5", ["desk"], interrupt_on={gated: True}, **kept)
            given: Any = {"messages": [("user", thread)]}
            out = agent.invoke(given, {"configurable": {"thread_id": thread}})
            print(json.dumps([[each.id, each.value["action_requests"][0]["args"]] for each in out["__interrupt__"]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
