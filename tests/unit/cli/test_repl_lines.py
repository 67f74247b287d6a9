"""Inputs end as at Python's own prompt, and nothing of them runs here."""

import sys
from pathlib import Path

import pytest

from rlm_agent.cli.repl_lines import Lines, is_complete


@pytest.mark.parametrize(
    ("source", "complete"),
    [
        ("1 + 1", True),
        ("값 = [1,", False),
        ("값 = [1,\n2]", True),
        ("def f():", False),
        ("def f():\n    return 1", False),
        ("def f():\n    return 1\n", True),
        ("'''open", False),
        ("await anything()", True),
        ("async with a as b:\n    pass\n", True),
        ("1 +* 2", True),
        ("(" * 5000, True),
        ("x = '\x00'", True),
        ("", True),
        ("# remark", True),
        ("@decorator", False),
        ("if x:\n    a\nelse:", False),
    ],
)
def test_an_input_is_complete(source: str, complete: bool) -> None:
    assert is_complete(source) is complete


def test_nothing_that_is_typed_runs_here(tmp_path: Path) -> None:
    assert is_complete(f"open({str(tmp_path / 'made')!r}, 'w')")
    assert list(tmp_path.iterdir()) == []


def test_lines_are_put_together_and_a_command_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keyboard:
        def __init__(self, *typed: str) -> None:
            self._typed = list(typed)

        def readline(self) -> str:
            return self._typed.pop(0)

    monkeypatch.setattr(sys, "stdin", Keyboard("def f():\n", "  pass\n", "\n", ":vars\n", "x = [\n", ":a]\n", "\n", ""))
    lines = Lines(">>> ")
    assert [lines.read(), lines.read()] == ["def f():\n  pass\n", ":vars"]
    assert lines.read() == "x = [\n:a]", "inside of an input a colon is Python's"
    assert [lines.read(), lines.read()] == ["", None]
