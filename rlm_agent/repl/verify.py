"""Verify: does what was pickled load again? A forked child of the worker tries, and dies with whatever that does.

The child tells each name before it loads it, so that a variable whose loading crashes or hangs is known by name. Large
values are not copied for it: they are in its memory already.
"""

import contextlib
import os
import select
import signal
import sys
import types
import warnings
from typing import Any

import cloudpickle.cloudpickle as cp
import msgpack

from rlm_agent.repl.image import Image
from rlm_agent.repl.lifeline import die_with_parent
from rlm_agent.repl.loading import Held, Resolve, load

__all__ = ["unloadable"]

# Without a step forward for this long, a variable counts as one that does not load. Seconds.
PATIENCE = 20.0


def unloadable(image: Image, resolve: Resolve) -> dict[str, str]:
    """Names of variables that do not load again, and why.

    Args:
        image: what was pickled.
        resolve: as `load` wants it.
    """
    parent = os.getpid()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # The child runs nothing but the loading; threads of the cell do not live in it.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            child = os.fork()
        except OSError:
            # No process to be had: what was pickled is kept unproven.
            os.close(reader)
            os.close(writer)
            return {}
    if child == 0:
        os.close(reader)
        _try(parent, image, resolve, writer)
    os.close(writer)
    try:
        return _judge(reader)
    finally:
        os.close(reader)
        # Where Landlock does not confine signals the sandbox refuses those to a child, too; it ends by itself.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
        # A cell may ignore SIGCHLD, which reaps the child for us.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _try(parent: int, image: Image, resolve: Resolve, writer: int) -> None:
    code = 1
    die_with_parent(parent)
    try:
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # the process ends here

        def resolved(place: str) -> Any:
            return module.__dict__ if place == "namespace" else resolve(place)

        # Without these, loading a class would give the living one, and prove nothing.
        cp._DYNAMIC_CLASS_TRACKER_BY_ID.clear()
        cp._DYNAMIC_CLASS_TRACKER_BY_CLASS.clear()
        losses = load(image, module.__dict__, resolved, Held(), lambda name: _tell(writer, name))
        _tell(writer, [[loss.name, loss.why] for loss in losses])
        code = 0
    finally:
        os._exit(code)


def _tell(writer: int, message: Any) -> None:
    data = msgpack.packb(message, unicode_errors="surrogatepass")
    while data:
        data = data[os.write(writer, data) :]


def _judge(reader: int) -> dict[str, str]:
    unpacker = msgpack.Unpacker(unicode_errors="surrogatepass")
    loading = ""
    while True:
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        data = os.read(reader, 1 << 16) if ready else b""
        unpacker.feed(data)
        for message in unpacker:
            if isinstance(message, list):
                return dict(message)
            loading = message
        if not data:
            why = "loading it again kills the process" if ready else f"loading it again takes over {PATIENCE:g} s"
            return {loading: why} if loading else {}
