"""The run that is killed at each crash point, as `python points_run.py HOME LOGS DURABILITY`; prints what came of it.

Seven turns that pass every point: values (a large array among them, and one that is slow to save), a host function
that leaves a note, a batch with sub-agents of three model calls and two tools each, a cell that ends its worker, a
prompt that holds the time, a batch that the budget refuses, an answer that a check complains of, and one that it takes.
"""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from fingerprint import CELL
from langchain_core.messages import AIMessage
from payments import note_call

from rlm_agent import Budget, Home, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel

THREAD = "pointed"
CELLS = [
    [CELL, "import random\nrandom.seed(3)\nnp.random.seed(5)"],
    ["big = np.random.default_rng(7).random(20_000)\nview = big[10:20]\nluck = np.random.random()\n"
     "told = tell('2024 only')\nimport time\nclass Slow:\n    def __getstate__(self):\n        time.sleep(0.6)\n"
     "        return {}\nslow = Slow()"],
    ["replies = llm_batch([{'prompt': f'측정 {i}', 'tools': ['measure'] if i < 3 else []} for i in range(6)])\n"
     "words = [str(reply) for reply in replies]\ndel slow"],
    ["one = llm('plain 1', tools=[])", "import os\nos._exit(3)"],
    ["stamp = time.time()\nsame = llm(f'plain {stamp}', tools=[]) == f'plain {stamp}!'\ndel stamp\n"
     "two = llm('plain 2', tools=[])\ntry:\n    llm_batch(['x'] * 40)\nexcept Exception as error:\n"
     "    refused = type(error).__name__"],
    ["answer['content'] = {'n': 1}\nanswer['ready'] = True"],
    ["big[12] = 0.5\nanswer['content'] = {'n': 2, 'words': words, 'view': float(view[2]), 'refused': refused,\n"
     "    'told': told, 'same': same, 'draw': np.random.random(), 'luck': luck, 'digest': digest()}\n"
     "answer['ready'] = True"],
]  # fmt: skip


def root(messages: list[Any]) -> str:
    done = sum(message.type == "ai" for message in messages)
    return "\n".join(f"```python\n{cell}\n```" for cell in CELLS[done])


def sub(messages: list[Any]) -> Any:
    prompt = next(message.content for message in messages if message.type == "human")
    measured = [str(message.content) for message in messages if message.type == "tool"]
    if prompt.startswith("plain") or int(prompt.split()[-1]) >= 3:
        return f"{prompt}!"
    if len(measured) == 2:
        return f"{prompt}: {measured}"
    call = {"name": "measure", "args": {"what": f"{prompt} {len(measured)}"}, "id": uuid.uuid4().hex}
    return AIMessage("", tool_calls=[call])


def check(content: Any) -> str | None:
    return None if content["n"] == 2 else "n must be 2"


def build(home: Home, logs: Path) -> Any:
    def measure(what: str) -> str:
        """Measures something."""
        note_call(logs, "tool", what)
        return f"<{what}>"

    async def tell(text: str) -> int:
        """Leaves a note for the root; the same one however often it is called."""
        note_call(logs, "function", text)
        run = home.runs.list(THREAD)[0]
        await home.notes.add(run.id, text, "the-only-one")
        return len(text)

    return create_rlm_agent(
        ScriptedModel(replies=root, log=logs / "models.jsonl", model_name="root"),
        [measure],
        sub_model=ScriptedModel(replies=sub, delay=0.01, log=logs / "models.jsonl", model_name="sub"),
        repl_functions=[tell],
        check=check,
        budget=Budget(sub_calls=20),
        home=home,
        checkpointer=home.checkpointer,
    )


def main(home: str, logs: str, durability: Any) -> None:
    with Home(home) as opened:
        answered = any(opened.runs.question(run.id).status == "answered" for run in opened.runs.list(THREAD))
        given: Any = None if answered else {"messages": [("user", "무엇?")], "context": "some text"}
        config: Any = {"configurable": {"thread_id": THREAD}}
        out = build(opened, Path(logs)).invoke(given, config, durability=durability)
        run = open_run(THREAD, home=opened)
        restored = run.eval("print(digest())").output.strip()
        outcome = {
            "answer": out["rlm"]["content"],
            "stopped_by": out["rlm"]["stopped_by"],
            "calls": {role: out["rlm"]["usage"][role]["calls"] for role in ("root", "sub")},
            "namespace": restored,
            "turns": len(run.turns),
            "lost": sorted({loss["name"] for turn in run.turns for loss in turn.lost}),
        }
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
