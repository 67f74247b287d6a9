"""The run of the crash suite, as `python thirty_turns.py HOME LOGS DURABILITY`; prints what came of it as JSON.

Every crash point that it passes is a line of LOGS/trace, by which a test knows what a killed process was doing.
"""

import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from payments import note_call
from thirty_cells import CELLS

from rlm_agent import Budget, Home, Limits, crash_points, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel

THREAD = "thirty"


def root(messages: list[Any]) -> str:
    done = sum(message.type == "ai" for message in messages)
    return f"```python\n{CELLS[done]}\n```"


def sub(messages: list[Any]) -> Any:
    prompt = next(message.content for message in messages if message.type == "human")
    measured = [str(message.content) for message in messages if message.type == "tool"]
    if int(prompt.split()[-1]) % 10:
        return f"{prompt}!"
    if len(measured) == 2:
        return f"{prompt}: {measured}"
    call = {"name": "measure", "args": {"what": f"{prompt} {len(measured)}"}, "id": uuid.uuid4().hex}
    return AIMessage("", tool_calls=[call])


def build(home: Home, logs: Path) -> Any:
    def measure(what: str) -> str:
        """Measures something."""
        note_call(logs, "tool", what)
        return f"<{what}>"

    def tell(text: str) -> str:
        """Says something to the host."""
        note_call(logs, "function", text)
        return f"told {text}"

    log = logs / "models.jsonl"
    return create_rlm_agent(
        ScriptedModel(replies=root, log=log, model_name="root"),
        [measure],
        sub_model=ScriptedModel(replies=sub, delay=0.02, log=log, model_name="sub"),
        repl_functions=[tell],
        budget=Budget(turns=40),
        limits=Limits(window_tokens=400_000),
        home=home,
        checkpointer=home.checkpointer,
    )


def trace(logs: Path) -> None:
    fd = os.open(logs / "trace", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    crash_points.watch(lambda point: os.write(fd, f"{time.time():.6f} {point}\n".encode()) and None)


def main(home: str, logs: str, durability: Any) -> None:
    trace(Path(logs))
    with Home(home) as opened:
        answered = any(opened.runs.question(run.id).status == "answered" for run in opened.runs.list(THREAD))
        given: Any = None if answered else {"messages": [("user", "무엇?")], "context": {"name": "some text"}}
        config: Any = {"configurable": {"thread_id": THREAD}}
        out = build(opened, Path(logs)).invoke(given, config, durability=durability)
        run = open_run(THREAD, home=opened)
        outcome = {
            "answer": out["rlm"]["content"],
            "stopped_by": out["rlm"]["stopped_by"],
            "calls": {role: out["rlm"]["usage"][role]["calls"] for role in ("root", "sub")},
            "namespace": run.eval("print(digest())").output.strip(),
            "turns": len(run.turns),
            "errors": [turn.number for turn in run.turns if turn.error],
            "lost": sorted({loss["name"] for turn in run.turns for loss in turn.lost}),
        }
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
