"""Nothing that a model or a cell wrote may steer the terminal."""

import io
import json
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
        ("\x1b]0;never closed\nos.system('x')\n", "0;never closed\nos.system('x')\n"),
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


def test_what_is_said_is_cleaned_wherever_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    terminal.say("\x1b[2Jleft out: \x1b]0;owned\x07page.txt")
    assert sys.stderr.getvalue() == "left out: page.txt\n"  # type: ignore[attr-defined]


def test_a_row_fits_into_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for stream, shown in ((Terminal(), "한" * 19 + "…\n"), (io.StringIO(), "한" * 30 + "\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        terminal.show_row("한" * 30)
        assert stream.getvalue() == shown


def test_a_live_view_needs_a_terminal_that_can_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not terminal.is_screen()
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert terminal.is_screen()
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.is_screen(), "NO_COLOR is about colours"
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.is_screen()


def test_after_ctrl_c_a_line_stands_below_the_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, term, expected in (
        (Terminal(), "dumb", "\nend\n"),
        (Terminal(), "xterm", "end\n"),
        (io.StringIO(), "dumb", "end\n"),
    ):
        monkeypatch.setenv("TERM", term)
        monkeypatch.setattr(sys, "stderr", stream)
        terminal.say_below("end")
        assert stream.getvalue() == expected


@pytest.mark.parametrize("given", ["x", "x\n"])
def test_a_result_ends_with_one_line_break(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    terminal.show(given)
    assert sys.stdout.getvalue() == "x\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_json_is_read_back_as_it_was(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    value = {"답": "é 한 😀 \ud800"}
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.show(terminal.json_text(value))
    assert json.loads(stream.buffer.getvalue().decode(encoding)) == value  # type: ignore[attr-defined]


def test_counted() -> None:
    assert [terminal.counted(n, "turn") for n in (0, 1, 1200)] == ["0 turns", "1 turn", "1,200 turns"]
