"""Nothing that a model or a cell wrote may steer the terminal."""

import io
import sys

import pytest

from rlm_agent.cli import terminal


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("plain 한국어\ttab\nline", "plain 한국어\ttab\nline"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b[2J\x1b[1;1Hb", "ab"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==", ""),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x1b(0lines\x1b7", "lines"),
        ("one\rtwo\r\nthree", "one\ntwo\nthree"),
        ("bell\x07 back\x08 del\x7f c1\x9b31m nul\x00", "bell back del c131m nul"),
        ("safe\u202etxt.exe\u2066", "safetxt.exe"),
        ("\x1b", ""),
    ],
)
def test_clean(given: str, cleaned: str) -> None:
    assert terminal.clean(given) == cleaned


def test_first_words_fit_and_stay_on_a_line() -> None:
    assert terminal.first_words("a\n  b\x1b[1m c", 80) == "a b c"
    assert terminal.first_words("x" * 100, 10) == "x" * 9 + "…"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_results_are_cleaned_for_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((Terminal(), "x\n"), (io.StringIO(), "\x1b[1mx\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        terminal.show("\x1b[1mx")
        assert stream.getvalue() == expected


def test_colour_needs_a_terminal_and_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not terminal.colourful()
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert terminal.colourful()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.colourful()


def test_counted() -> None:
    assert [terminal.counted(n, "turn") for n in (0, 1, 1200)] == ["0 turns", "1 turn", "1,200 turns"]
