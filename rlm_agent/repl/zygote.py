"""Zygote: the process that has imported what cells need and forks a worker in milliseconds.

It is started by exec in an environment of its own, so that no secret and no state of the host is in it. Invariants: one
thread only, no descriptor but its control socket; a worker keeps none but its channel; when the control socket closes
(the host is gone, however) it kills its workers, removes their scratch directories and ends. Each request gets a reply:

    fork (with a channel's descriptor; a plan of the sandbox) -> pid;  signal (pid, number);  reap (pid) -> wait status
"""

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from rlm_agent.repl.channel import Channel
from rlm_agent.repl.disk import remove_tree
from rlm_agent.repl.lifeline import die_with_parent

__all__ = ["main"]

# A worker whose channel has closed is at its end; one that is not by then gets SIGKILL. Seconds.
REAP_GRACE = 0.5


class Zygote:
    """The control loop."""

    def __init__(self, control: Channel) -> None:
        self._control = control
        self._priority = os.getpriority(os.PRIO_PROCESS, 0)
        with contextlib.suppress(OSError):
            # Root's processes have no bound in the kernel: whoever ends them must get to run among hundreds of them.
            os.setpriority(os.PRIO_PROCESS, 0, -20)
        self._children: set[int] = set()
        self._scratches: dict[int, str] = {}
        self._statuses: dict[int, int] = {}

    def serve(self) -> None:
        """Works until the host is gone."""
        self._control.send({"ready": os.getpid()})
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._control.send(self._handle(self._control.receive()))
        for child in self._children:
            _kill(child)
        for scratch in self._scratches.values():
            remove_tree(scratch)

    def _handle(self, message: dict[str, Any]) -> dict[str, Any]:
        self._collect()
        if message["op"] == "fork":
            return {"pid": self._fork(message)}
        if message["op"] == "signal":
            if message["pid"] in self._children:
                _send(message["pid"], message["number"])
            return {}
        return {"status": self._reap(message["pid"], message["kill"])}

    def _collect(self) -> None:
        """Notes the end of workers that nobody asked for yet."""
        for child in list(self._children):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                self._children.discard(pid)
                self._statuses[pid] = status
                # What it started lives in its process group still.
                _kill_group(pid)

    def _reap(self, pid: int, kill: bool) -> int | None:
        deadline = time.monotonic() + (0 if kill else REAP_GRACE)
        while pid in self._children and time.monotonic() < deadline:
            time.sleep(0.002)
            self._collect()
        if pid in self._children:
            _kill(pid)
            _, self._statuses[pid] = os.waitpid(pid, 0)
            self._children.discard(pid)
        # From here on its scratch directory is the host's to remove.
        self._scratches.pop(pid, None)
        return self._statuses.pop(pid, None)

    def _fork(self, message: dict[str, Any]) -> int:
        channel, parent = self._control.fds.pop(), os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(channel, parent, message)
        os.close(channel)
        self._children.add(pid)
        self._scratches[pid] = message.get("remove", message["scratch"])
        return pid

    def _become_worker(self, channel: int, parent: int, message: dict[str, Any]) -> NoReturn:
        scratch = message["scratch"]
        try:
            os.closerange(3, channel)
            os.closerange(channel + 1, os.sysconf("SC_OPEN_MAX"))
            self._control.socket.detach()
            os.setpriority(os.PRIO_PROCESS, 0, self._priority)
            os.setsid()
            die_with_parent(parent)
            os.environ.update(HOME=scratch, TMPDIR=scratch, MPLCONFIGDIR=scratch)
            os.chdir(scratch)
            from rlm_agent.repl import confined

            confined.serve(Channel(socket.socket(fileno=channel)), message)
        finally:
            os._exit(1)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _send(pid: int, number: int) -> None:
    if number == signal.SIGKILL:
        _kill(pid)
    else:
        os.kill(pid, number)


def _kill(pid: int) -> None:
    """Kills a worker that is not reaped yet, and what it started; before its setsid it has no group."""
    _kill_group(pid)
    os.kill(pid, signal.SIGKILL)


def main(control: int) -> None:
    """Runs the zygote on an inherited descriptor."""
    sys.argv = [""]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Imported before the first fork, so that no worker pays for it.
    from rlm_agent.repl import confined  # noqa: F401

    gc.collect()
    gc.freeze()
    Zygote(Channel(socket.socket(fileno=control))).serve()
