"""BwrapKernel: the zygote and its workers live in a container made by bubblewrap, where one is installed.

It sees nothing but Python, the system's libraries and the scratch directories: what else there is has no name in it, no
existence and no size, and processes outside it do not exist either. Within, each worker goes under the layers of the
sandbox as everywhere, which keeps sessions apart. Behind the same protocol as `process.py`.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path

from rlm_agent.errors import ConfigError
from rlm_agent.repl.disk import remove_tree
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.repl.sandbox.paths import readable
from rlm_agent.repl.spawner import Spawner, kept
from rlm_agent.repl.usage import descendants
from rlm_agent.settings import Limits

__all__ = ["BwrapKernel", "BwrapSpawner"]

MOST_PROCESSES = 100_000


def _container(program: str, scratches: str) -> list[str]:
    paths = readable()
    own = ("/proc", "/dev")
    binds = [path for path in (*paths.programs, *paths.files) if os.path.exists(path) and not path.startswith(own)]
    return [
        *(program, "--unshare-all", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *(word for path in dict.fromkeys(binds) for word in ("--ro-bind", path, path)),
        *("--bind", scratches, scratches, "--chdir", "/", "--"),
    ]


class BwrapSpawner(Spawner):
    """A zygote in a container.

    Args:
        program: path of bubblewrap.
    """

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program
        self.scratches = tempfile.mkdtemp(prefix="rlm-bwrap-")
        self._hosts: dict[int, int] = {}

    def prefix(self) -> list[str]:
        """See `Spawner.prefix`."""
        assert self.scratches is not None
        os.makedirs(self.scratches, 0o700, exist_ok=True)
        return _container(self._program, self.scratches)

    def host_pid(self, pid: int) -> int:
        """See `Spawner.host_pid`: workers are in a process namespace of their own."""
        if pid not in self._hosts:
            top = self.zygote_pid()
            within = descendants(top, MOST_PROCESSES)[0] if top else []
            self._hosts |= {_inner(outer): outer for outer in within}
        return self._hosts.get(pid, 0)

    def stop(self) -> None:
        """See `Spawner.stop`."""
        super().stop()
        self._hosts.clear()
        if self.scratches is not None:
            remove_tree(self.scratches)


def _inner(pid: int) -> int:
    """The process id in the innermost namespace."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
        return int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])
    return 0


_shared: dict[str, BwrapSpawner] = {}
_shared_lock = threading.Lock()


class BwrapKernel(ProcessKernel):
    """Cells run in a container.

    Args:
        limits: as `ProcessKernel`.
        layers: as `ProcessKernel`.

    Raises:
        ConfigError: bubblewrap is not installed.
    """

    def __init__(self, limits: Limits | None = None, *, layers: Collection[str] | None = None) -> None:
        super().__init__(limits, layers=layers)
        program = shutil.which("bwrap")
        if program is None:
            raise ConfigError("kernel='bwrap': bubblewrap is not installed; install the package `bubblewrap`.")
        with _shared_lock:
            if program not in _shared:
                _shared[program] = kept(BwrapSpawner(program))
            self._bwrap = _shared[program]

    @property
    def isolation(self) -> str:
        """See `ProcessKernel.isolation`."""
        return f"bubblewrap; {super().isolation}"

    def _spawner(self) -> Spawner:
        return self._bwrap
