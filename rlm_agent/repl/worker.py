"""Worker: one REPL session in its own process, forked from the zygote. It runs what the host sends, nothing else.

The main thread runs cells and takes snapshots; one reader thread receives frames, delivers answers to the threads that
wait for them, and ends the process when the host is gone. Messages (plain msgpack) by their "op":

    from the host  start, execute, answer, snapshot
    to the host    started, request, done, snapshot, fault
"""

import builtins
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy

from rlm_agent.repl.cell import Cells
from rlm_agent.repl.channel import Channel, pack
from rlm_agent.repl.context import Context
from rlm_agent.repl.interrupts import Interrupts
from rlm_agent.repl.namespace import Namespace
from rlm_agent.repl.output import Output
from rlm_agent.repl.requests import Requests
from rlm_agent.repl.snapshot import Image, Loss, dump, interpreter_state, load, restore_interpreter, tombstones
from rlm_agent.repl.variables import listing
from rlm_agent.repl.verify import unloadable

__all__ = ["Worker", "serve"]

# Rounds of dump and verify: each names at least one variable, all in one round as a rule.
MOST_ROUNDS = 10


class Worker:
    """The session behind one channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._interrupts = Interrupts()
        self._requests = Requests(channel, self._interrupts)
        self._output = Output()
        self._namespace = Namespace(self._requests.ask)
        self._cells = Cells(self._namespace.globals, self._output, self._interrupts)
        self._path = list(sys.path)

    def serve(self) -> NoReturn:
        """Works until the host is gone."""
        self._interrupts.install()
        self._output.redirect()
        builtins.input = _no_input
        os.register_at_fork(after_in_child=self._requests.disown)
        threading.Thread(target=self._read, name="rlm-channel", daemon=True).start()
        work: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "start": self._start,
            "execute": self._execute,
            "snapshot": self._snapshot,
        }
        while True:
            message = self._inbox.get()
            try:
                reply = pack(work[message["op"]](message))
            except Exception as error:  # noqa: BLE001  # the host must hear of any failure, not wait for ever
                reply = pack({"op": "fault", "error": f"{type(error).__name__}: {error}"})
            self._channel.send_packed(reply)

    def _read(self) -> None:
        try:
            while True:
                message = self._channel.receive()
                if message["op"] == "answer":
                    self._requests.deliver(message["replies"])
                else:
                    self._inbox.put(message)
        finally:
            # The host is gone, or spoke nonsense: there is nobody to work for.
            os._exit(0)

    def _start(self, message: dict[str, Any]) -> dict[str, Any]:
        given = message["bindings"]
        self._namespace.bind(given, self._read_context(given["context"]))
        if message["snapshot"] is None:
            random.seed(given["seed"])
            numpy.random.seed(given["seed"] % 2**32)
        else:
            self._restore(message["snapshot"])
        self._namespace.renew_answer()
        self._output.install()
        return {"op": "started", "lost": _plain(tombstones(self._namespace.variables()))}

    def _read_context(self, source: dict[str, Any] | None) -> Context:
        if source is None:
            return Context.nothing()
        return Context.read(self._channel.fds.pop(), source["kind"], source["index"])

    def _restore(self, data: bytes) -> None:
        image = Image.decode(data)
        fingerprint = image.extra["fingerprint"]
        load(image, self._namespace.globals, lambda place: self._namespace.resolve(place, fingerprint))
        self._namespace.settle(image.extra)
        self._cells.remember(image.extra["sources"])
        restore_interpreter(image.extra["interpreter"])

    def _execute(self, message: dict[str, Any]) -> dict[str, Any]:
        self._namespace.begin(message["history"], message["unready"])
        self._interrupts.install()
        self._output.install()
        self._requests.open()
        began = time.monotonic()
        error, kind = self._cells.run(message["code"])
        if kind == "interrupted":
            self._requests.give_up()
        else:
            self._requests.settle()
        return {
            "op": "done",
            "output": self._output.take(),
            "error": error,
            "error_kind": kind,
            "seconds": time.monotonic() - began,
            "answer": self._namespace.answer(),
        }

    def _snapshot(self, message: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        variables, references = self._namespace.variables(), self._namespace.references()
        fingerprint = self._namespace.extra()["fingerprint"]
        broken: dict[str, str] = {}
        state = interpreter_state(self._path)
        for _round in range(MOST_ROUNDS):
            image, losses = dump(variables, self._namespace.globals, references, broken)
            found = unloadable(image, lambda place: self._namespace.resolve(place, fingerprint))
            if not found:
                break
            broken |= found
        image.extra = {**self._namespace.extra(), "sources": self._cells.sources, "interpreter": state}
        known = {loss.name for loss in losses}
        losses += [loss for loss in tombstones(variables) if loss.name not in known]
        names = frozenset(loss.name for loss in losses)
        return {
            "op": "snapshot",
            "data": image.encode(),
            "variables": listing(variables, names),
            "lost": _plain(losses),
            "seconds": time.monotonic() - began,
        }


def _plain(losses: list[Loss]) -> list[dict[str, str]]:
    return [{"name": loss.name, "type": loss.type, "why": loss.why} for loss in losses]


def _no_input(prompt: object = "") -> NoReturn:
    raise RuntimeError("input() has nobody to ask here: the REPL has no keyboard. Work with what is bound.")


def serve(channel: Channel) -> NoReturn:
    """Runs a session on this channel in the current process, which ends with it."""
    Worker(channel).serve()
