"""The host of an attack: a process with an environment to steal from, a home, a sibling session and the attacked one.

Speaks lines of JSON with the judge: says where things are, gets the cell, says what came of it, checks its sibling.
"""

import asyncio
import contextlib
import ctypes
import json
import mmap
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlm_agent.repl.kernel import Bindings, CellDone, CellPaused, ContextSource
from rlm_agent.repl.process import ProcessKernel, ProcessSession
from rlm_agent.settings import Limits


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


async def _hear() -> dict[str, Any]:
    line = await asyncio.to_thread(sys.stdin.readline)
    heard: dict[str, Any] = json.loads(line) if line else {"op": "end"}
    return heard


async def _session(kernel: ProcessKernel, **bindings: Any) -> ProcessSession:
    session = await kernel.session()
    assert isinstance(session, ProcessSession)
    await session.start(Bindings(task="", **bindings), None)
    return session


async def _shown(session: ProcessSession, code: str) -> str:
    done = await session.execute(code)
    assert isinstance(done, CellDone), done
    return (done.error or done.output).strip()


async def _run(session: ProcessSession, code: str) -> dict[str, Any]:
    event = await session.execute(code)
    while isinstance(event, CellPaused):
        replies = {r.id: {"ok": False, "error": f"no host function is named {r.name!r}"} for r in event.requests}
        event = await session.answer(replies)
    return {"output": event.output, "error": event.error, "kind": event.error_kind, "answer": repr(event.answer)}


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def _kept_in_the_kernel(name: str, secret: str) -> Iterator[None]:
    """A key in the user's keyring, readable by the user: a user has few, so it goes with the host, or by itself."""
    add_key, keyctl = (248, 250) if platform.machine() == "x86_64" else (217, 219)
    libc, user_keyring, set_permissions, set_timeout, invalidate = ctypes.CDLL(None), -4, 5, 15, 21
    key = libc.syscall(add_key, b"user", name.encode(), secret.encode(), len(secret), user_keyring)
    libc.syscall(keyctl, set_permissions, key, 0x3F3F0000)
    libc.syscall(keyctl, set_timeout, key, 600)
    yield
    libc.syscall(keyctl, invalidate, key)


async def main(how: str, secret: str, context: str) -> None:
    sandbox = json.loads(how)
    kernel = ProcessKernel(Limits(cell_seconds=20, sandbox=sandbox["mode"]), layers=sandbox["layers"])
    sibling = await _session(kernel)
    where = await _shown(
        sibling,
        f"kept = bytearray(b'{secret}' * 1000)\nimport os, ctypes\nopen('note', 'w').write('{secret}')\n"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(kept))\nprint(os.getcwd(), at)",
    )
    scratch, _, at = where.rpartition(" ")
    pids = {"host": os.getpid(), "zygote": _parent(sibling.pid), "sibling": sibling.pid}
    _say({**pids, "sibling_scratch": scratch, "sibling_at": int(at), "isolation": kernel.isolation})
    session = sibling
    # A blob that is being read, as any host has one.
    held = os.open(Path(context).with_name("leaf"), os.O_RDONLY)
    mapped = mmap.mmap(held, 0, prot=mmap.PROT_READ)
    while (message := await _hear())["op"] != "end":
        if message["op"] == "session":
            session = await _session(kernel, context=ContextSource("text", Path(context)), functions=["given"])
            _say({"worker": session.pid, "scratch": session._scratch})
        elif message["op"] == "attack":
            _say(await _run(session, message["code"]))
        elif message["op"] == "close":
            await session.close()
            _say({})
        else:
            _say({"sibling": await _shown(sibling, f"kept == bytearray(b'{secret}' * 1000), open('note').read()")})
    await sibling.close()
    mapped.close()
    os.close(held)


if __name__ == "__main__":
    with _kept_in_the_kernel(*sys.argv[4:]):
        asyncio.run(main(*sys.argv[1:4]))
