"""One process of the demo: `python -m rlm_agent.cli.demo_child PART DIRECTORY`, the outcome as JSON on stdout.

Parts: "locate" asks the offline stand-in what DIRECTORY/task.txt asks; "aggregate" starts the scripted run; "resume"
goes on with it. All work in the home DIRECTORY/home on the input DIRECTORY/input.txt.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm_agent.store.home import Home

__all__ = ["LOG", "main"]

LOG = "calls.jsonl"


def main(part: str, directory: Path) -> None:
    """Runs one part."""
    from rlm_agent.store.home import Home

    with Home(directory / "home") as home:
        outcome = _locate(home, directory) if part == "locate" else _aggregate(home, directory, part == "resume")
    print(json.dumps(outcome), flush=True)


def _locate(home: "Home", directory: Path) -> Any:
    task = (directory / "task.txt").read_text("utf-8")
    return _enter(home, directory, "locate", "offline", "offline", task)


def _aggregate(home: "Home", directory: Path, resume: bool) -> Any:
    from rlm_agent.cli.demo_models import root_reply, sub_reply
    from rlm_agent.testing import ScriptedModel

    log = directory / LOG
    root = ScriptedModel(replies=root_reply, log=log, model_name="scripted-root")
    sub = ScriptedModel(replies=sub_reply, log=log, model_name="scripted-sub")
    task = None if resume else "Count files, lines, classes, functions and imports of every package."
    return _enter(home, directory, "aggregate", root, sub, task)


def _enter(home: "Home", directory: Path, thread: str, root: Any, sub: Any, task: str | None) -> Any:
    from rlm_agent.agent import create_rlm_agent
    from rlm_agent.corpus import Corpus

    agent = create_rlm_agent(root, sub_model=sub, home=home, checkpointer=home.checkpointer)
    given: Any = None
    if task is not None:
        given = {"messages": [("user", task)], "context": Corpus.load(directory / "input.txt", home=home)}
    return agent.invoke(given, {"configurable": {"thread_id": thread}})["rlm"]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
