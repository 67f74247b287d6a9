"""Interrupts: SIGINT stops a running cell and nothing else.

Invariant: KeyboardInterrupt is raised only between `begin` and `end`, and never while a frame is being written, since
half a frame would end the session.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """The worker's SIGINT handler.

    Attributes:
        hit: True when the running cell was interrupted.
    """

    def __init__(self) -> None:
        self.hit = False
        self._running = False
        self._held = False
        self._late = False

    def install(self) -> None:
        """Takes over SIGINT; main thread only."""
        signal.signal(signal.SIGINT, self._on_signal)

    def begin(self) -> None:
        """A cell runs from here on."""
        self.hit = self._late = False
        self._running = True

    def end(self) -> None:
        """No cell runs any more."""
        self._running = False

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if not self._running:
            return
        if self._held:
            self._late = True
            return
        self.hit = True
        raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """A stretch of the main thread that must not be torn; an interrupt within it is raised at its end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._late:
            self._late = False
            self.hit = True
            raise KeyboardInterrupt
