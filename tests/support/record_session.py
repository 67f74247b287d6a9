"""Records a session in a real terminal: `rlm run`, Ctrl-C in the middle of a batch, `rlm resume --last`.

`python tests/support/record_session.py` prints it. The model is a stand-in, a script behind a local HTTP server that
writes three cells and, asked as a sub-agent, counts `def` with a regular expression; everything else is real. The lines
that the live view draws anew are shown as they stood when Ctrl-C was pressed.
"""

import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai_server
import pseudo_terminal

ROOT = Path(__file__).parents[2]
QUESTION = "How many functions do these modules define?"
SOURCES = "rlm_agent/repl/*.py"
ASKED = "How many functions does this module define? Answer with the number."
RLM = [sys.executable, "-m", "rlm_agent.cli.main"]

CELLS = (
    'print(len(context), "modules,", sum(map(len, context.values())), "characters")',
    f'replies = llm_batch([f"{ASKED}\\n\\n{{text}}" for text in context.values()])\n'
    "counts = dict(zip(context, map(int, replies)))",
    'answer["content"] = f"{sum(counts.values())} functions in {len(counts)} modules; '
    'most in {max(counts, key=counts.get)}."\nanswer["ready"] = True',
)


class StandIn:
    """Answers four sub-calls at a time, each after a moment, as a provider would."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(4)

    def __call__(self, body: dict[str, Any]) -> str:
        last = str(body["messages"][-1]["content"])
        if not last.startswith(ASKED):
            written = sum(message["role"] == "assistant" for message in body["messages"])
            return f"```python\n{CELLS[written]}\n```"
        with self._places:
            time.sleep(0.2)
        return str(len(re.findall(r"^\s*(?:async )?def ", last, re.M)))


def record(env: Mapping[str, str]) -> str:
    """The session's text.

    Args:
        env: of the commands; names the server and the home.
    """
    run = ["run", QUESTION, "--context", SOURCES, "--model", "openai:stand-in"]
    with pseudo_terminal.terminal([*RLM, *run], env, cwd=str(ROOT)) as first:
        first.read_until(r"sub-agents ([5-9]|1\d) of")
        seen = first.screen
        first.type(pseudo_terminal.CTRL_C)
        code = first.wait()
    with pseudo_terminal.terminal([*RLM, "resume", "--last"], env, cwd=str(ROOT)) as second:
        end = second.wait()
    written = f"$ rlm run {QUESTION!r} \\\n    --context {SOURCES!r} --model openai:stand-in".replace("'", '"')
    after = first.screen.removeprefix(_lasting(seen)).strip("\n")
    return "\n".join(
        [written, f"{seen}^C", after, f"(exit code {code})", "$ rlm resume --last", second.screen, f"(exit code {end})"]
    )


def _lasting(screen: str) -> str:
    """The lines above those that are drawn anew, which begin with the spinner."""
    return re.split(r"^[\u2800-\u28ff] ", screen, maxsplit=1, flags=re.M)[0]


def main() -> None:
    """Prints a recording made in a new home."""
    with openai_server.serve(StandIn()) as server, tempfile.TemporaryDirectory() as directory:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RLM_", "NO_COLOR"))}
        home = str(Path(directory) / "home")
        print(record({**kept, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-local", "RLM_HOME": home}))


if __name__ == "__main__":
    main()
