"""Requests: how code in a cell asks the host and waits, from any thread.

Invariant: a cell is over only when every request made while it ran is answered or given up; after that, until the next
cell, asking raises. The frame of a request is sent at once and tells how many other threads still run, so that the
host can let their requests travel together.
"""

import itertools
import threading
from collections.abc import Mapping
from typing import Any

from rlm_agent.repl.channel import EVENT_LIMIT, Channel, pack
from rlm_agent.repl.clock import Clock
from rlm_agent.repl.interrupts import Interrupts

__all__ = ["Requests"]


class _Waiting:
    def __init__(self) -> None:
        self.ready = threading.Event()
        self.reply: Any = None
        self.given_up = False


class Requests:
    """All requests of one worker."""

    def __init__(self, channel: Channel, interrupts: Interrupts, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self._interrupts = interrupts
        self._ids = itertools.count(1)
        self._changed = threading.Condition()
        self._waiting: dict[int, _Waiting] = {}
        self._refusal: str | None = "the REPL is not started yet"

    def open(self) -> None:
        """A cell begins: asking is allowed."""
        with self._changed:
            self._refusal = None

    def settle(self) -> None:
        """The cell's own code has ended: waits for the requests of its threads, then allows no more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._refusal = "the cell that started this thread has ended"

    def give_up(self) -> None:
        """The cell was stopped: threads that still wait are told so, and none may ask."""
        with self._changed:
            self._refusal = "the cell that started this thread was stopped"
            for waiting in self._waiting.values():
                waiting.given_up = True
                waiting.ready.set()

    def disown(self) -> None:
        """This is a forked child of the worker: the channel belongs to the parent."""
        self._changed = threading.Condition()
        self._waiting = {}
        self._refusal = "this is a child process of the REPL; call it from the cell itself"
        self._channel.socket.close()

    def ask(self, kind: str, body: Mapping[str, Any]) -> Any:
        """Sends a request and waits for its reply.

        Raises:
            RuntimeError: no cell runs, or it was stopped.
            TypeError, ValueError, OverflowError: the body is no plain data or too large; nothing was sent.
        """
        number, waiting = next(self._ids), _Waiting()
        with self._changed:
            if self._refusal:
                raise RuntimeError(f"The host cannot be asked: {self._refusal}.")
            self._waiting[number] = waiting
            # The reader thread and those that wait, this one among them, will not send.
            running = max(threading.active_count() - 1 - len(self._waiting), 0)
        try:
            message = {"op": "request", "id": number, "kind": kind, "running": running, **body}
            payload = self._packed(message)
            with self._interrupts.held():
                self._channel.send_packed(payload)
            waiting.ready.wait()
        finally:
            with self._changed:
                self._waiting.pop(number, None)
                self._changed.notify_all()
        if waiting.given_up:
            raise RuntimeError("The cell was stopped while this thread waited for the host.")
        return waiting.reply

    def _packed(self, message: dict[str, Any]) -> bytes:
        """The message, with what was read of the clock before it."""
        readings = self._clock.take()
        try:
            return pack({**message, "clock": readings}, EVENT_LIMIT)
        except BaseException:
            self._clock.put_back(readings)
            raise

    def deliver(self, replies: list[tuple[int, Any]], readings: list[int]) -> None:
        """Hands each reply to the thread that waits for it; one that nobody waits for any more is dropped.

        Args:
            readings: of the clock, see `Clock.refill`.
        """
        self._clock.refill(readings)
        with self._changed:
            for number, reply in replies:
                waiting = self._waiting.get(number)
                if waiting:
                    waiting.reply = reply
                    waiting.ready.set()
