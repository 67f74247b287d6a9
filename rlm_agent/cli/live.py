"""The live view: lines that stay, and below them a few that are drawn anew while the run goes on.

Invariant: one thread draws, at most four times a second, however many events there are; stdout is left alone, and every
line is cleaned. Colours are Rich's to leave out (`NO_COLOR`). What the lines say is decided in `progress.py` and
`spending.py`.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rlm_agent.cli.terminal import clean

__all__ = ["LiveView"]

PERIOD = 0.25
_MARGIN = 4  # columns left free, so that the terminal's echo of ^C does not wrap


class LiveView:
    """Draws on stderr from its start to its end.

    Args:
        region: gives the lines that are drawn anew, the first one beside a spinner; called by the drawing thread.
    """

    def __init__(self, region: Callable[[], list[str]]) -> None:
        self._region = region
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._spinner = Spinner("dots")
        self._started = time.monotonic()
        self._lines: list[Text] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._painter = threading.Thread(target=self._paint_on, name="rlm-live-view", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._painter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        try:
            self._painter.join()
            self._print()
        finally:
            self._live.stop()

    def say(self, line: str) -> None:
        """A line that stays; it is shown with the next drawing."""
        with self._lock:
            self._lines.append(Text(clean(line), style="red" if "failed" in line else ""))

    def _paint_on(self) -> None:
        with suppress(OSError):  # the terminal is gone: the run goes on without a view
            while not self._ended.wait(PERIOD):
                self._live.update(self._drawn())
                if not self._print():
                    self._live.refresh()

    def _print(self) -> bool:
        """Prints the lines that wait, which draws the region anew below them. False: none waits."""
        with self._lock:
            lines, self._lines = self._lines, []
        if lines:
            self._console.print(*lines, sep="\n", soft_wrap=True)
        return bool(lines)

    def _drawn(self) -> Group:
        first, *others = self._region()
        seconds = int(time.monotonic() - self._started)
        head = Table.grid(padding=(0, 1))
        head.add_row(self._spinner, self._fitting(f"{first}, {seconds // 60}:{seconds % 60:02}"))
        return Group(head, *(self._fitting(f"  {line}", "dim") for line in others))

    def _fitting(self, line: str, style: str = "") -> Text:
        text = Text(clean(line), style=style, no_wrap=True)
        text.truncate(max(8, self._console.width - _MARGIN), overflow="ellipsis")
        return text
