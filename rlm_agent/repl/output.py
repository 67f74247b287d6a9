"""Output: everything that a cell prints, from any thread, stdout and stderr in one order.

Invariant: memory is bounded; of a longer output the first and the last KEEP bytes stay, with a marker that tells how
much is left out. What children write to the process's own descriptors 1 and 2 comes after the cell's own output.
"""

import io
import os
import sys
import tempfile
import threading
from collections import deque
from typing import Any

__all__ = ["KEEP", "Output", "shorten"]

KEEP = 2 << 20


def shorten(text: str, keep: int) -> str:
    """Text of at most twice `keep` characters, cut in the middle with a marker."""
    if len(text) <= 2 * keep:
        return text
    return f"{text[:keep]}\n[... {len(text) - 2 * keep} characters left out ...]\n{text[-keep:]}"


class Sink(io.RawIOBase):
    """Takes bytes without end and keeps the first and the last of them."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with self._lock:
            view = bytes(data)
            room = self._keep - len(self._head)
            self._head += view[:room]
            if len(view) > room:
                self._extend_tail(view[max(room, 0) :])
            return len(view)

    def _extend_tail(self, data: bytes) -> None:
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size - len(self._tail[0]) >= self._keep:
            dropped = self._tail.popleft()
            self._tail_size -= len(dropped)
            self._left_out += len(dropped)

    def take(self) -> str:
        """What was written since the last call."""
        with self._lock:
            tail = b"".join(self._tail)
            extra = max(len(tail) - self._keep, 0)
            left_out = self._left_out + extra
            head = bytes(self._head)
            self._clear()
        if not left_out:
            return (head + tail).decode("utf-8", "replace")
        first, last = head.decode("utf-8", "ignore"), tail[extra:].decode("utf-8", "ignore")
        return f"{first}\n[... {left_out} bytes of output left out ...]\n{last}"


class Stream(io.TextIOWrapper):
    """Text in pieces of some kilobytes; who writes bytes below it comes after the text so far."""

    @property
    def buffer(self) -> Any:
        self.flush()
        return super().buffer


class Output:
    """The process's standard streams while it is a worker."""

    def __init__(self, keep: int = KEEP) -> None:
        self._sink = Sink(keep)
        self._stream = self._open()
        self._descriptors = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # open as long as the process

    def _open(self) -> "Stream":
        # One object for both streams keeps their order without a flush a line.
        sink: Any = self._sink
        return Stream(sink, encoding="utf-8", errors="backslashreplace", newline="")

    def redirect(self) -> None:
        """Points descriptors 0, 1 and 2 away from the host's."""
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(self._descriptors.fileno(), 1)
        os.dup2(self._descriptors.fileno(), 2)
        sys.stdin = io.StringIO()

    def install(self) -> None:
        """Makes the stream `sys.stdout` and `sys.stderr` again, whatever the last cell made of them."""
        if self._stream.closed:
            self._sink = Sink(self._sink._keep)
            self._stream = self._open()
        sys.stdout = sys.stderr = self._stream

    def write(self, text: str) -> None:
        """Adds a line of the worker's own."""
        self._stream.write(text)

    def take(self) -> str:
        """All that was written since the last call."""
        if not self._stream.closed:
            self._stream.flush()
        return self._sink.take() + self._take_descriptors()

    def _take_descriptors(self) -> str:
        size = os.fstat(self._descriptors.fileno()).st_size
        if not size:
            return ""
        sink = Sink(self._sink._keep)
        self._descriptors.seek(0)
        while part := self._descriptors.read(1 << 20):
            sink.write(part)
        self._descriptors.seek(0)
        self._descriptors.truncate(0)
        return sink.take()
