"""Worker: one REPL session in its own process, forked from the zygote. It runs what the host sends, nothing else.

The main thread runs cells and takes snapshots; one reader thread receives frames, delivers answers to the threads that
wait for them, and ends the process when the host is gone. Messages (plain msgpack) by their "op":

    from the host  start, execute, answer, snapshot, leaves
    to the host    started, damaged, request, done, snapshot, leaves, fetch, fault
"""

import builtins
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy

from rlm_agent.repl.cell import Cells
from rlm_agent.repl.channel import Channel, pack
from rlm_agent.repl.clock import Clock
from rlm_agent.repl.context import Context
from rlm_agent.repl.dumping import Loss, Subject, tombstones
from rlm_agent.repl.entropy import Entropy
from rlm_agent.repl.files import Files, restore
from rlm_agent.repl.image import SnapshotError
from rlm_agent.repl.interpreter import interpreter_state, restore_interpreter
from rlm_agent.repl.interrupts import Interrupts
from rlm_agent.repl.manifest import ManifestError
from rlm_agent.repl.namespace import Namespace
from rlm_agent.repl.output import Output
from rlm_agent.repl.requests import Requests
from rlm_agent.repl.scratch import Scratch, flush
from rlm_agent.repl.snapshot import Snapshots
from rlm_agent.repl.variables import listing

__all__ = ["Worker", "serve"]

# Leaves that travel together: a message of at most some megabytes.
TOGETHER = 8


class Worker:
    """The session behind one channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._interrupts = Interrupts()
        self._clock, self._entropy = Clock(), Entropy()
        self._requests = Requests(channel, self._interrupts, self._clock)
        self._output = Output()
        self._namespace = Namespace(self._requests.ask)
        self._cells = Cells(self._namespace.globals, self._output, self._interrupts)
        self._snapshots = Snapshots()
        self._deep: dict[str, int] = {}
        self._path = list(sys.path)
        self._scratch = Scratch(os.getcwd(), 0)

    def serve(self) -> NoReturn:
        """Works until the host is gone."""
        self._interrupts.install()
        self._output.redirect()
        self._clock.install()
        self._entropy.install()
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
                    self._requests.deliver(message["replies"], message["clock"])
                else:
                    self._inbox.put(message)
        finally:
            # The host is gone, or spoke nonsense: there is nobody to work for.
            os._exit(0)

    def _start(self, message: dict[str, Any]) -> dict[str, Any]:
        given = message["bindings"]
        self._scratch = Scratch(self._scratch.root, message["disk_bytes"])
        lost = list[Loss]()
        self._namespace.bind(given, self._read_context(given["context"]))
        if message["snapshot"] is None:
            random.seed(given["seed"])
            numpy.random.seed(given["seed"] % 2**32)
        else:
            try:
                lost = self._restore(message["snapshot"])
            except (SnapshotError, ManifestError) as error:
                return {"op": "damaged", "why": str(error)}
        self._namespace.renew_answer()
        self._output.install()
        return {"op": "started", "lost": _plain([*tombstones(self._namespace.variables()), *lost])}

    def _read_context(self, source: dict[str, Any] | None) -> Context:
        if source is None:
            return Context.nothing()
        return Context.read(self._channel.fds.pop(), source["kind"], source["index"])

    def _restore(self, manifest: bytes) -> list[Loss]:
        """Brings back a snapshot. Returns the files that are not back."""
        image = self._snapshots.restore(
            manifest, self._fetch, self._namespace.globals, lambda image: self._resolver(image.extra)
        )
        self._namespace.settle(image.extra)
        self._cells.remember(image.notes["sources"])
        files = Files.read(image.notes.get("files", b""), image.beside)
        lost = restore(files, self._scratch.root, self._fetch, self._snapshots.leaves)
        restore_interpreter(image.notes["interpreter"], self._scratch.root)
        return lost

    def _resolver(self, extra: dict[str, Any]) -> Callable[[str], Any]:
        fingerprint = extra["fingerprint"]
        return lambda place: self._namespace.resolve(place, fingerprint)

    def _fetch(self, keys: list[bytes]) -> Iterator[bytes]:
        """Gets leaves from the host, the next ones on their way while the first are used."""
        groups = [keys[at : at + TOGETHER] for at in range(0, len(keys), TOGETHER)]
        coming = 0
        try:
            for number in range(len(groups) + 1):
                if number < len(groups):
                    self._channel.send({"op": "fetch", "keys": groups[number]})
                    coming += 1
                if number:
                    reply = self._inbox.get()
                    coming -= 1
                    yield from reply["leaves"]
        finally:
            # Whoever broke off leaves no reply for the next to take for its own.
            for _reply in range(coming):
                self._inbox.get()

    def _execute(self, message: dict[str, Any]) -> dict[str, Any]:
        self._namespace.begin(message["history"], message["unready"])
        self._interrupts.install()
        self._output.install()
        self._requests.open()
        self._clock.begin(message["clock"])
        self._entropy.begin(message["seed"])
        began = time.monotonic()
        error, kind = self._cells.run(message["code"])
        if kind == "interrupted":
            self._requests.give_up()
        else:
            self._requests.settle()
        self._entropy.end()
        # Read first: a text of the cell's own making may print.
        answer = self._namespace.answer()
        return {
            "op": "done",
            "output": self._output.take(),
            "error": error,
            "error_kind": kind,
            "seconds": time.monotonic() - began,
            "answer": answer,
            "clock": self._clock.end(),
        }

    def _snapshot(self, message: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        namespace = self._namespace
        variables, extra = namespace.variables(), namespace.extra()
        flush(variables.values())
        files = self._scratch.save(self._snapshots.leaves, self._send_leaves)
        state, losses = interpreter_state(self._path, self._scratch.root)
        subject = Subject(variables, namespace.globals, namespace.references(), self._deep)
        notes = {"sources": self._cells.saved(), "interpreter": state, "files": files.table}
        taken = self._snapshots.take(subject, self._resolver(extra), extra, notes, files.keys)
        self._send_leaves(taken.leaves)
        losses = [*taken.losses, *losses, *files.losses()]
        return {
            "op": "snapshot",
            "manifest": taken.manifest,
            "variables": listing(variables, frozenset(loss.name for loss in taken.losses)),
            "lost": _plain(losses),
            "seconds": time.monotonic() - began,
        }

    def _send_leaves(self, leaves: list[bytes]) -> None:
        for start in range(0, len(leaves), TOGETHER):
            self._channel.send({"op": "leaves", "leaves": leaves[start : start + TOGETHER]})


def _plain(losses: list[Loss]) -> list[dict[str, str]]:
    return [{"name": loss.name, "type": loss.type, "why": loss.why} for loss in losses]


def _no_input(prompt: object = "") -> NoReturn:
    raise RuntimeError("input() has nobody to ask here: the REPL has no keyboard. Work with what is bound.")


def serve(channel: Channel) -> NoReturn:
    """Runs a session on this channel in the current process, which ends with it."""
    Worker(channel).serve()
