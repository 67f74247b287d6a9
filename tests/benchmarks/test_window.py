"""A run of 2 000 turns: the prompt stays within its window, and mostly extends the one before byte for byte."""

import time
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Budget, Home, Limits, create_rlm_agent
from rlm_agent.root.window import estimate_tokens
from rlm_agent.testing import ScriptedModel

TURNS = 2000
WINDOW = 8000


class Probe:
    """A root that looks at its own prompts."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.extends = 0
        self._last: list[tuple[str, str]] = []

    def root(self, messages: list[Any]) -> str:
        prompt = [(message.type, message.content) for message in messages]
        self.sizes.append(sum(estimate_tokens(text) for _, text in prompt))
        self.extends += prompt[: len(self._last)] == self._last
        self._last = prompt
        n = len(self.sizes)
        if n > TURNS:
            return '```python\nanswer["content"] = history[0]["turn"]\nanswer["ready"] = True\n```'
        return f"```python\nx{n % 7} = {n}\nprint('{chr(0xAC00 + n % 100)}' * 200, 'line {n} ' * 40)\n```"


@pytest.mark.slow
def test_2000_turns_within_the_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe, started = Probe(), time.monotonic()
    with Home(tmp_path / "window") as home:
        agent = create_rlm_agent(
            ScriptedModel(replies=probe.root),
            home=home,
            limits=Limits(window_tokens=WINDOW),
            budget=Budget(turns=TURNS + 1),
        )
        out = agent.invoke({"messages": [("user", "work")]})
    share = (probe.extends - 1) / (len(probe.sizes) - 1)
    with capsys.disabled():
        at = {n: probe.sizes[n - 1] for n in (1, 10, 100, 1000, TURNS)}
        print(f"\nprompt, estimated tokens at turn: {at}; largest {max(probe.sizes)} of {WINDOW}")
        print(f"prompts that extend the one before: {share:.1%}; {time.monotonic() - started:.0f} s in all")
    assert out["rlm"]["content"] == 1
    assert max(probe.sizes) <= WINDOW
    assert share >= 0.8
