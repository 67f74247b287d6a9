"""The examples run: without a key, and with the model that RLM_MODEL names, over HTTP."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai_server
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
SHOWN: dict[str, tuple[str, ...]] = {
    "01_hello": ("Drawer 4321 holds", "3 turns"),
    "02_long_document": ("79 sections", "async.txt:", "ready: "),
    "03_research": (
        "[1] https://bridges.example/forth",
        "(on the page as read on 20",
        "(NOT CONFIRMED: it is not on the page)",
        "ready: True",
    ),
    "04_crash_and_resume": (
        "the first process ended with SIGKILL",
        "the second process ended with code 0",
        "60 answered, the last one is 3481 | 60 sub-calls are on record",
    ),
    "05_custom_tool": ("'paid': 11", "'MISSING': 7", "'1209'", "80 calls by sub-agents"),
    "06_embedding": (
        "ticket-1: approved: The root wants to send 1 sub-call. Tokens of the prompts: about",
        "ticket-1: handbook: From the handbook: context:2401: Section 2401.",
        "ticket-2: small talk: Thank you for writing.",
    ),
}


def shown(example: Path, home: Path, **environment: str) -> str:
    """What an example prints, run as a user does."""
    inherited = {key: value for key, value in os.environ.items() if key != "RLM_MODEL"}
    done = subprocess.run(
        [sys.executable, str(example)],
        env={**inherited, "RLM_HOME": str(home), **environment},
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_slowly(name: str) -> Any:
    """All but the first are left to --slow: each imports everything in a process of its own."""
    return pytest.param(name, marks=[] if name < "02" else pytest.mark.slow)


@pytest.mark.parametrize("name", [run_slowly(example.stem) for example in EXAMPLES if example.stem in SHOWN])
def test_an_example_runs_without_a_key(name: str, own_home: Path) -> None:
    text = shown(ROOT / "examples" / f"{name}.py", own_home)
    for words in SHOWN[name]:
        assert words in text
    if name == "04_crash_and_resume":
        asked = re.search(r"this process asked (\d+) sub-calls", text)
        assert asked is not None
        assert 60 - 20 - 32 <= int(asked[1]) <= 40, "what was recorded when the first process died was asked again"


def reply(body: dict[str, Any]) -> Any:
    """A model for all examples: as root it asks one sub-agent, or all of them where the task speaks of squares."""
    text = str(body["messages"])
    if "You are the root" not in text:
        return "7"
    prompts = "range(60)" if "square of each number" in text else "range(1)"
    cell = f'r = llm_batch([f"piece {{n}}" for n in {prompts}])\nanswer["content"] = f"모델: {{len(r)}}"'
    return f'```python\n{cell}\nanswer["ready"] = True\n```'


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SHOWN if name > "02"])
def test_an_example_runs_with_the_model_that_is_named(name: str, own_home: Path) -> None:
    with openai_server.serve(reply) as server:
        named = {"RLM_MODEL": "openai:gpt-5", "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-local"}
        text = shown(ROOT / "examples" / f"{name}.py", own_home, **named)
    assert f"모델: {60 if name.startswith('04') else 1}" in text
    tips = ["Strategy: search, then read" in str(body["messages"]) for body in server.requests]
    assert any(tips) == name.startswith("02")
    assert len(server.requests) > 1


def test_examples_are_short_and_all_are_run() -> None:
    assert {example.stem for example in EXAMPLES} == set(SHOWN)
    for example in EXAMPLES:
        assert len(example.read_text("utf-8").splitlines()) < 60, example.name
