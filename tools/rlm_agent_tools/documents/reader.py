"""The host's side of reading documents: a few child processes, each killed when a document takes too long.

A page can make a parser work for minutes or crash it, so none of them runs in the host. Invariant: a document costs at
most its time; the child sees no environment and no secret of the host; what it answers is JSON, checked here.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.tools import ToolException

import rlm_agent
import rlm_agent_tools

__all__ = ["Reading", "read_document"]

START_SECONDS, ARTICLE_SECONDS, PLAIN_SECONDS = 60.0, 10.0, 6.0
_CHILDREN = max(2, min(4, os.cpu_count() or 1))
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import {0}; {0}.main()"
_MODULE = "rlm_agent_tools.documents.worker"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document says. `links` are absolute http and https addresses."""

    title: str | None
    date: str | None
    text: str
    links: tuple[str, ...]


def read_document(kind: str, data: bytes, url: str, declared: str) -> Reading:
    """Reads a document; blocks for at most a quarter of a minute once a child has started.

    Args:
        kind: "html", "pdf" or "text".
        data: its bytes.
        url: its address, for relative links.
        declared: the charset that the server told, or "".

    Raises:
        ToolException: it has no text, or reading it takes too long.
    """
    asked = {"kind": kind, "url": url, "declared": declared, "plain": False}
    answer = _ask(asked, data, ARTICLE_SECONDS)
    if answer is None and kind == "html":
        answer = _ask({**asked, "plain": True}, data, PLAIN_SECONDS)
    if answer is None:
        raise ToolException("The document was fetched, but reading it takes too long or ends the reader.")
    if "error" in answer:
        raise ToolException(f"The document was fetched, but {answer['error']}.")
    return Reading(answer["title"], answer["date"], answer["text"], tuple(answer["links"]))


class _Child:
    """One child process, started when it is needed and again after it was killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def ask(self, asked: dict[str, Any], data: bytes, seconds: float) -> dict[str, Any] | None:
        """The answer, or None where it took too long or the child died."""
        process = self._started()
        line = _exchanged(process, json.dumps({**asked, "size": len(data)}).encode() + b"\n" + data, seconds)
        if not line.endswith(b"\n"):
            self.end()
            return None
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else None

    def end(self) -> None:
        """Ends the process; the next document starts another."""
        process, self._process = self._process, None
        if process is None or self._pid != os.getpid():
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                assert stream is not None
                stream.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._pid != os.getpid() or self._process.poll() is not None:
            self.end()
            self._pid = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-c", _BOOT.format(_MODULE), json.dumps(_import_path())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUTF8": "1", "HOME": os.devnull},
                cwd="/",
                start_new_session=True,
            )
            _exchanged(self._process, b"", START_SECONDS)
        return self._process


def _exchanged(process: "subprocess.Popen[bytes]", data: bytes, seconds: float) -> bytes:
    """Gives a child bytes and takes a line; one that is not whole where it took too long, and was killed, or died."""
    assert process.stdin is not None
    assert process.stdout is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        process.stdin.write(data)
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return b""
    finally:
        timer.cancel()


class _Children:
    """The children of this process, and whose turn it is."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.all = [_Child() for _ in range(_CHILDREN)]
        self.idle = list(self.all)
        self.free = threading.Condition()

    def ask(self, asked: dict[str, Any], data: bytes, seconds: float) -> dict[str, Any] | None:
        """Asks a child that is idle, waiting for one."""
        with self.free:
            self.free.wait_for(lambda: self.idle)
            child = self.idle.pop()
        try:
            return child.ask(asked, data, seconds)
        finally:
            with self.free:
                self.idle.append(child)
                self.free.notify()

    def end(self) -> None:
        for child in self.all:
            child.end()


_children: _Children | None = None
_lock = threading.Lock()


def _ask(asked: dict[str, Any], data: bytes, seconds: float) -> dict[str, Any] | None:
    global _children
    with _lock:
        if _children is None or _children.pid != os.getpid():
            _children = _Children()
            atexit.register(_children.end)
    return _children.ask(asked, data, seconds)


def _import_path() -> list[str]:
    """Where the host imports from, without the entries that mean its current directory."""
    homes = [str(Path(package.__path__[0]).resolve().parent) for package in (rlm_agent, rlm_agent_tools)]
    entries = [entry for entry in sys.path if os.path.isabs(entry) and os.path.exists(entry)]
    return list(dict.fromkeys([*entries, *homes]))
