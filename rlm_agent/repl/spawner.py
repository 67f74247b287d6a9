"""Spawner: the host's handle on its zygote: starts it at first use, again when it is dead, and asks it to fork.

Invariants: one zygote a host process; a child made by `os.fork` starts one of its own; every method may be called from
any thread and blocks, so coroutines call them through `asyncio.to_thread`.
"""

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import rlm_agent
from rlm_agent.errors import KernelError
from rlm_agent.repl.channel import Channel

__all__ = ["Spawner", "kept", "shared_spawner"]

START_SECONDS = 120.0
REPLY_SECONDS = 30.0

UNCONFINED: Mapping[str, Any] = {"layers": [], "memory": 0, "disk": 0}

BOOT = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from rlm_agent.repl.zygote import main
main(int(sys.argv[1]))
"""


def clean_environment() -> dict[str, str]:
    """All that a worker sees of the environment: no secret of the host's."""
    kept = {name: os.environ[name] for name in ("PATH", "OPENBLAS_CORETYPE") if name in os.environ}
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    fixed = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "MPLBACKEND": "Agg"}
    return {"PATH": os.defpath, **kept, **threads, **fixed}


def _import_path() -> list[str]:
    """Where the host imports from, without the entries that mean its current directory."""
    home = str(Path(rlm_agent.__path__[0]).resolve().parent)
    entries = [entry for entry in sys.path if os.path.isabs(entry) and os.path.exists(entry)]
    return entries if home in entries else [*entries, home]


class Spawner:
    """A zygote, started when it is needed.

    Attributes:
        scratches: where scratch directories have to be; None: anywhere.
    """

    def __init__(self) -> None:
        self.scratches: str | None = None
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None

    def start(self) -> None:
        """Starts the zygote, where it does not run. Directories made after that are removed if this process is killed
        as soon as a worker has them, and not a start of Python later.

        Raises:
            KernelError: it could not be started.
        """
        with self._lock:
            self._ensure()

    def fork(self, channel: socket.socket, scratch: str, plan: Mapping[str, Any] = UNCONFINED) -> int:
        """Forks a worker on this channel.

        Args:
            channel: the worker's end; the caller closes its copy.
            scratch: a directory of the worker's own.
            plan: how it is confined, see `confined.py`; "remove" names a directory that goes with the worker in place
                of its own.

        Returns:
            Its process id.

        Raises:
            KernelError: no worker could be had.
        """
        with self._lock:
            for _attempt in range(2):
                self._ensure()
                with contextlib.suppress(OSError, EOFError, ValueError):
                    pid: int = self._ask({"op": "fork", "scratch": scratch, **plan}, [channel.fileno()])["pid"]
                    return pid
                self._discard()
        raise KernelError("The REPL's parent process died twice while it forked a worker; is memory exhausted?")

    def signal(self, pid: int, number: int) -> None:
        """Sends a signal to a worker; one that is gone already is no error."""
        self._tell({"op": "signal", "pid": pid, "number": number})

    def reap(self, pid: int, *, kill: bool) -> int | None:
        """Waits for a worker's end, which is near or made now.

        Returns:
            Its wait status; None when it is not known any more.
        """
        status = self._tell({"op": "reap", "pid": pid, "kill": kill}).get("status")
        return status if isinstance(status, int) else None

    def prefix(self) -> list[str]:
        """What the zygote is started by."""
        return []

    def zygote_pid(self) -> int:
        """Process id of what was started; 0 where nothing is."""
        process = self._process
        return process.pid if process is not None else 0

    def host_pid(self, pid: int) -> int:
        """A worker's process id as this process sees it."""
        return pid

    def stop(self) -> None:
        """Ends the zygote and all workers."""
        with self._lock:
            self._discard()

    def abandon(self) -> None:
        """This is a forked child: the zygote belongs to the parent."""
        if self._control is not None:
            self._control.socket.close()
        if self._process is not None:
            self._process.returncode = 0
        self._control = self._process = None
        self._lock = threading.Lock()

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        """A request about a worker; where the zygote is dead its workers are too."""
        with self._lock:
            if self._control is None:
                return {}
            try:
                return self._ask(message)
            except (OSError, EOFError, ValueError):
                self._discard()
                return {}

    def _ask(self, message: dict[str, Any], fds: list[int] | None = None) -> dict[str, Any]:
        assert self._control is not None
        self._control.send(message, fds or ())
        reply: dict[str, Any] = self._control.receive()
        return reply

    def _ensure(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._discard()
        mine, theirs = socket.socketpair()
        self._control = Channel(mine)
        with tempfile.TemporaryFile() as errors:
            # Its end must be closed here, or its death would not be seen.
            with theirs:
                self._process = self._launch(theirs, errors)
            mine.settimeout(START_SECONDS)
            try:
                self._control.receive()
            except (OSError, EOFError, ValueError):
                self._discard()
                raise KernelError(f"The REPL's parent process did not start: {_last_line(errors)}") from None
        mine.settimeout(REPLY_SECONDS)

    def _launch(self, control: socket.socket, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        arguments = [
            *self.prefix(),
            sys.executable,
            "-P",
            "-s",
            "-c",
            BOOT,
            str(control.fileno()),
            json.dumps(_import_path()),
        ]
        try:
            return subprocess.Popen(
                arguments,
                env=clean_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[control.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            self._discard()
            raise KernelError(f"{arguments[0]!r} cannot be started for the REPL: {error}") from error

    def _discard(self) -> None:
        if self._control is not None:
            self._control.socket.close()
        if self._process is not None:
            try:
                # It ends at the end of its control socket, its workers first.
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._control = self._process = None


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"no word within {START_SECONDS:g} s"


S = TypeVar("S", bound=Spawner)


def kept(spawner: S) -> S:
    """A spawner that lives as long as this process and is none of its forked children's."""
    os.register_at_fork(after_in_child=spawner.abandon)
    atexit.register(spawner.stop)
    return spawner


_shared: list[Spawner] = []
_shared_lock = threading.Lock()


def shared_spawner() -> Spawner:
    """The spawner of this process."""
    with _shared_lock:
        if not _shared:
            _shared.append(kept(Spawner()))
        return _shared[0]
