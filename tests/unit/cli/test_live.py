"""The live view draws at most four times a second, whatever happens."""

import io
import sys
import time

import pytest

from rlm_agent.cli.live import LiveView


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


REDRAWN = "\r\x1b[2K"


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A stderr of 40 columns; made in the test itself, since pytest sets its own one before."""
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_storm_of_events_is_drawn_in_time_and_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = terminal(monkeypatch)
    started = time.monotonic()
    with LiveView(lambda: ["turn 1", "x = 1"]) as live:
        while time.monotonic() - started < 0.6:
            live.say("noise")
            time.sleep(0.001)
        live.say("the last line")
    written = stderr.getvalue()
    assert 2 <= written.count(REDRAWN) <= 4 * (time.monotonic() - started) + 2
    assert written.count("noise") > 50
    assert written.index("the last line") > written.rindex("noise")


def test_lines_are_cut_to_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = terminal(monkeypatch)
    with LiveView(lambda: ["turn " + "1" * 100, "한" * 100]):
        time.sleep(0.4)
    written = stderr.getvalue()
    assert "1" * 30 in written
    assert "1" * 40 not in written
    assert "한" * 15 in written
    assert "한" * 20 not in written


def test_colours_are_left_out_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = terminal(monkeypatch)
    for no_color, there in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        with LiveView(lambda: ["turn 1"]) as live:
            live.say("turn 1: cell failed: oops")
        assert ("\x1b[31m" in stderr.getvalue()) is there
        stderr.truncate(0)
