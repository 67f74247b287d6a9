"""Ctrl-C twice: the second one ends the process at once, whatever it waits for.

The first is Python's KeyboardInterrupt, on which the run is saved and left in good order. Nothing is lost by the second
either: what was paid for is recorded before it is used, and a run may be killed at any moment.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["second_ctrl_c_ends"]

_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def second_ctrl_c_ends(farewell: str) -> Iterator[None]:
    """Watches for signals from a thread of its own, since the main thread may be in a wait that no signal breaks.

    Once there was a first Ctrl-C the watch goes on until the process is gone, since its end may have to wait, too; and
    KeyboardInterrupt is raised no more, since nothing would catch it in good order.

    Args:
        farewell: the line that is said before the process ends with code 130.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    watch = _Watch(told, farewell)
    before = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    watch.start()
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, _leave_it_to_the_watch)
        wakeup.detach()  # stays open until the process ends
        raise
    except BaseException:
        _disarm(watch, wakeup, before)
        raise
    _disarm(watch, wakeup, before)


def _disarm(watch: "_Watch", wakeup: socket.socket, before: int) -> None:
    signal.set_wakeup_fd(before)
    wakeup.close()
    watch.join()


def _leave_it_to_the_watch(number: int, frame: FrameType | None) -> None:
    """Python's handler from the first Ctrl-C on. There must be one, else the watch is not told."""


class _Watch(threading.Thread):
    """Reads the numbers of the signals that the process gets."""

    def __init__(self, told: socket.socket, farewell: str) -> None:
        super().__init__(name="rlm-ctrl-c", daemon=True)
        self._told, self._farewell = told, farewell

    def run(self) -> None:
        seen = 0
        with self._told:
            while signals := self._told.recv(16):
                seen += signals.count(signal.SIGINT)
                if seen > 1:
                    _end(self._farewell)


def _end(farewell: str) -> None:
    """Without the interpreter's own farewell, which would wait for threads in flight."""
    terminal = sys.stderr.isatty()
    before = f"{_SHOW_CURSOR}\r\n" if terminal else ""
    os.write(2, f"{before}{farewell}\n".encode("utf-8", "backslashreplace"))
    os._exit(130)
