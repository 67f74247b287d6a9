"""Which layers a session gets, what is said of them, and what happens where there are none."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlm_agent.errors import SandboxUnavailable
from rlm_agent.repl.isolation import CLOSED, NAMES, Findings, decide
from rlm_agent.repl.kernel import Bindings, CellDone, Session
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.settings import Limits

ATTEMPTS = tuple(attempt for attempts in CLOSED.values() for attempt in attempts)


def found(*missing: str, works: tuple[str, ...] = ()) -> Findings:
    return Findings(
        {name: "하지 않음" if name in missing else "" for name in NAMES},
        {attempt: "" if attempt in works else "Operation not permitted" for attempt in ATTEMPTS},
    )


def test_all_layers() -> None:
    for mode in ("auto", "required"):
        isolation = decide(mode, found(), unsandboxed=False)
        assert isolation.layers == NAMES
        assert isolation.text == f"files, network, signals closed ({', '.join(NAMES)})"


def test_a_part_of_them_is_said_to_be_one() -> None:
    findings = found("landlock", "mounts", works=("read files", "write files"))
    isolation = decide("auto", findings, unsandboxed=False)
    assert isolation.text == "network, signals closed, files OPEN (limits, namespaces, privileges, seccomp)"
    with pytest.raises(SandboxUnavailable, match=r"files cannot be closed .*landlock: 하지 않음.*rlm doctor"):
        decide("required", findings, unsandboxed=True)


def test_none_of_them_is_an_error_or_leave() -> None:
    findings = found("namespaces", "mounts", "landlock", "seccomp", works=ATTEMPTS)
    with pytest.raises(SandboxUnavailable, match=r'RLM_ALLOW_UNSANDBOXED=1 or give Limits\(sandbox="off"\)') as raised:
        decide("auto", findings, unsandboxed=False)
    assert "\n" not in str(raised.value)
    isolation = decide("auto", findings, unsandboxed=True)
    assert (isolation.layers, isolation.text) == (("limits", "privileges"), "none (RLM_ALLOW_UNSANDBOXED=1)")
    with pytest.raises(SandboxUnavailable, match="required"):
        decide("required", findings, unsandboxed=True)


def test_elsewhere_than_on_linux_there_are_bounds_only(tmp_path: Path) -> None:
    """In a process of its own, which the layers would stay with."""
    code = (
        "import json, platform, sys\n"
        "platform.system = lambda: 'Darwin'\n"
        "from rlm_agent.repl.isolation import NAMES\n"
        "from rlm_agent.repl.sandbox.layers import Plan, probe\n"
        "print(json.dumps(probe(Plan(NAMES, 1 << 30, 1 << 20), sys.argv[1])))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=True)
    why = json.loads(done.stdout)
    assert why == {**dict.fromkeys(NAMES, "needs Linux"), "limits": ""}
    with pytest.raises(SandboxUnavailable, match="seccomp: needs Linux"):
        decide("auto", Findings(why, dict.fromkeys(ATTEMPTS, "")), unsandboxed=False)


async def shown(session: Session, code: str) -> str:
    event = await session.execute(code)
    assert isinstance(event, CellDone)
    assert event.error is None, event.error
    return event.output.strip()


async def test_a_system_without_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: the layers are masked, all else is real."""
    monkeypatch.delenv("RLM_ALLOW_UNSANDBOXED", raising=False)
    kernel = ProcessKernel(layers=())
    with pytest.raises(SandboxUnavailable, match="left out"):
        await kernel.session()
    with pytest.raises(SandboxUnavailable, match="left out"):
        await asyncio.to_thread(lambda: kernel.isolation)
    with pytest.raises(SandboxUnavailable):
        await ProcessKernel(Limits(sandbox="required"), layers=()).session()
    monkeypatch.setenv("RLM_ALLOW_UNSANDBOXED", "1")
    assert kernel.isolation == "none (RLM_ALLOW_UNSANDBOXED=1)"
    session = await kernel.session()
    await session.start(Bindings(task=""), None)
    assert await shown(session, "len(open('/etc/passwd').read()) > 0") == "True"
    await session.close()


async def test_off_needs_no_layer() -> None:
    session = await ProcessKernel(Limits(sandbox="off"), layers=()).session()
    await session.start(Bindings(task=""), None)
    assert await shown(session, "import socket; socket.socket().close(); 1") == "1"
    await session.close()


@pytest.mark.parametrize(
    "left_out", ["limits", "namespaces", "mounts", "landlock", "seccomp"], ids=lambda name: f"without {name}"
)
async def test_a_session_works_without_any_one_layer(left_out: str) -> None:
    layers = [name for name in NAMES if name != left_out]
    kernel = ProcessKernel(layers=layers)
    session = await kernel.session()
    await session.start(Bindings(task=""), None)
    assert await shown(session, "open('a', 'w').write('가'); import os; os.listdir()") == "['a']"
    await shown(session, "class Point:\n    x = 1\nkept = [Point(), lambda: 1]")
    assert (await session.snapshot()).size > 0
    await session.close()
    active = [name for name in layers if not kernel.findings().layers[name]]
    assert active == [name for name in layers if name != "mounts" or left_out != "namespaces"]


async def test_signals_and_metadata_stay_closed_without_the_layers_that_close_them_best() -> None:
    kernel = ProcessKernel(layers=("limits", "privileges", "seccomp"))
    assert kernel.isolation.startswith("network, signals closed, files OPEN")
    attempts = kernel.findings().attempts
    assert attempts["change metadata"] == attempts["signal others"] == "Operation not permitted"
    assert attempts["read files"] == ""


def test_a_host_that_is_killed_while_it_tries_the_sandbox_leaves_no_directory(tmp_path: Path) -> None:
    """It dies once the probe has been forked, and before it has answered."""
    code = """
import os, signal
from rlm_agent.repl import isolation
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.settings import Limits

class Dies(isolation.Channel):
    def receive(self, *_):
        os.kill(os.getpid(), signal.SIGKILL)

isolation.Channel = Dies
ProcessKernel(Limits()).isolation
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    died = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    deadline = time.monotonic() + 10
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []
