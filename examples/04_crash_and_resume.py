"""A run that is killed in the middle of a batch of 60 sub-calls, and goes on: what was paid for is not paid again.

Run it with `python examples/04_crash_and_resume.py`. The process that works is killed by SIGKILL, from inside, as soon
as 20 sub-calls are recorded; a second process is given the same thread and nothing else. Without RLM_MODEL a scripted
model answers (no language model); with it a model does.
"""

import os
import signal
import subprocess
import sys
import tempfile

from rlm_agent import Budget, Home, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel

CELL = """```python
replies = llm_batch([f"What is {n} times {n}? Reply with the number only." for n in range(60)])
answer["content"] = f"{sum(r.ok for r in replies)} answered, the last one is {replies[-1]}"
answer["ready"] = True
```"""
TASK = "Ask one sub-agent for the square of each number from 0 to 59; tell how many answered, and the last answer."


def square(messages: list) -> str:
    return str(int(messages[-1].text.split()[2]) ** 2)


def work(home: Home, given: dict | None, kill_after: int) -> None:
    """Enters the run, and kills this process after so many sub-calls."""
    model = os.environ.get("RLM_MODEL")
    root = model or ScriptedModel(lambda messages: CELL)
    sub = model or ScriptedModel(square, delay=0.1)
    agent = create_rlm_agent(root, sub_model=sub, budget=Budget(usd=1), home=home, checkpointer=home.checkpointer)
    done = 0
    for event in agent.stream(given, {"configurable": {"thread_id": "squares"}}, stream_mode="custom"):
        done += event["type"] == "sub_agent.finished"
        if done == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
    print(f"this process asked {done} sub-calls", flush=True)


if __name__ == "__main__" and len(sys.argv) > 1:
    with Home(sys.argv[1]) as opened:
        if sys.argv[2] == "first":
            work(opened, {"messages": [("user", TASK)]}, kill_after=20)
        else:
            work(opened, None, kill_after=-1)
elif __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        for part in ("first", "second"):
            code = subprocess.run([sys.executable, __file__, home, part], check=False).returncode
            print(f"the {part} process ended with {signal.Signals(-code).name if code < 0 else f'code {code}'}")
        run = open_run("squares", home=home)
        print(run.answer.content, "|", run.usage["sub"]["calls"], "sub-calls are on record")
