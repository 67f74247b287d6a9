"""Processes: what a worker sees of its host, and that nothing is left behind, however things end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm_agent.errors import KernelError
from rlm_agent.repl import process
from rlm_agent.repl.kernel import Bindings, CellDone, CellPaused, ContextSource, SnapshotSource
from rlm_agent.repl.process import ProcessKernel, ProcessSession
from rlm_agent.repl.spawner import shared_spawner
from rlm_agent.settings import Limits

TASK = Bindings(task="과제")


async def started(kernel: ProcessKernel | None = None) -> ProcessSession:
    session = await (kernel or ProcessKernel()).session()
    assert isinstance(session, ProcessSession)
    await session.start(TASK, None)
    return session


async def shown(session: ProcessSession, code: str) -> str:
    event = await session.execute(code)
    assert isinstance(event, CellDone), event
    assert event.error is None, event.error
    return event.output.strip()


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    # An orphan that ended waits for init, which not every container has.
    return state == "Z"


def eventually(holds: Callable[[], bool], seconds: float = 2.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_isolation_is_told() -> None:
    assert ProcessKernel(Limits()).isolation.startswith("files, network, signals closed (limits,")
    assert ProcessKernel(Limits(sandbox="off")).isolation == 'none (sandbox="off")'


async def test_a_worker_sees_no_secret_and_no_foreign_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    shared_spawner().stop()
    monkeypatch.setenv("OPENAI_API_KEY", "비밀")
    session, other = await started(), await started()
    environment = json.loads(await shown(session, "import os, json; print(json.dumps(dict(os.environ)))"))
    assert "OPENAI_API_KEY" not in environment
    assert environment["HOME"] == environment["TMPDIR"] == await shown(session, "print(os.getcwd())")
    assert set(environment) <= {
        *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONHASHSEED", "PYTHONUTF8", "MPLBACKEND"),
        *("MPLCONFIGDIR", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE"),
    }
    sockets = (
        "print(sum(os.readlink(f'/proc/self/fd/{fd}').startswith('socket') for fd in os.listdir('/proc/self/fd')[:-1]))"
    )
    assert await shown(session, sockets) == "1"
    heavy = "import sys; print({'langgraph', 'langchain_core', 'pydantic', 'openai'} & set(sys.modules))"
    assert await shown(session, heavy) == "set()"
    assert (
        await shown(session, "print(sys.argv, hash('a') == hash('a'), os.getsid(0) == os.getpid())") == "[''] True True"
    )
    await session.close()
    await other.close()


async def test_the_zygote_has_one_thread_and_workers_are_its_children() -> None:
    session = await started()
    zygote = int(await shown(session, "import os; print(os.getppid())"))
    assert len(os.listdir(f"/proc/{zygote}/task")) == 1
    await session.close()


async def test_fifty_sessions_leave_nothing_behind() -> None:
    await (await started()).close()
    before = len(os.listdir("/proc/self/fd"))
    pids, scratches = [], []
    for _ in range(5):
        batch = await asyncio.gather(*(started() for _ in range(10)))
        pids += [session.pid for session in batch]
        scratches += [
            await shown(session, "open('left', 'w').close(); import os; print(os.getcwd())") for session in batch
        ]
        await asyncio.gather(*(session.close() for session in batch))
    assert len(os.listdir("/proc/self/fd")) <= before
    assert all(map(is_gone, pids))
    assert not any(map(os.path.exists, scratches))


async def test_closing_ends_children_of_the_cell_too() -> None:
    session = await started()
    child = int(await shown(session, "import subprocess; p = subprocess.Popen(['sleep', '100']); print(p.pid)"))
    await session.close()
    await session.close()
    assert not session.alive
    assert eventually(lambda: is_gone(child))
    with pytest.raises(KernelError, match="gone"):
        await session.snapshot()


async def test_a_child_that_outlives_a_dead_worker_does_not_hide_its_death() -> None:
    session = await started()
    event = await session.execute("import os, time\nif os.fork() == 0: time.sleep(100)\nos._exit(5)")
    assert isinstance(event, CellDone)
    assert event.error is not None
    assert "exit code 5" in event.error


async def test_a_forked_child_of_a_cell_cannot_ask_the_host() -> None:
    session = await started()
    code = """
import os
reader, writer = os.pipe()
if os.fork() == 0:
    try: llm("x")
    except RuntimeError as error: os.write(writer, str(error).encode())
    os._exit(0)
os.wait()
print(os.read(reader, 1000).decode())
"""
    assert "child process" in await shown(session, code)
    assert await shown(session, "print(2)") == "2"
    await session.close()


async def test_an_idle_worker_that_dies_is_noticed() -> None:
    session = await started()
    os.kill(session.pid, signal.SIGKILL)
    assert eventually(lambda: not session.alive)
    with pytest.raises(KernelError, match="died"):
        await session.snapshot()
    event = await session.execute("1")
    assert isinstance(event, CellDone)
    assert event.error_kind == "died"
    await session.close()


async def test_a_dead_zygote_is_replaced() -> None:
    first = await started()
    zygote = int(await shown(first, "import os; print(os.getppid())"))
    os.kill(zygote, signal.SIGKILL)
    assert eventually(lambda: is_gone(first.pid))
    second = await started()
    assert await shown(second, "1 + 1") == "2"
    event = await first.execute("1")
    assert isinstance(event, CellDone)
    assert event.error_kind == "died"
    await first.close()
    await second.close()


async def test_a_cancelled_cell_is_closed_cleanly() -> None:
    session = await started()
    running = asyncio.ensure_future(session.execute("while True: pass"))
    await asyncio.sleep(0.1)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await asyncio.wait_for(session.close(), 3)
    assert is_gone(session.pid)


async def test_an_interrupt_between_cells_is_nothing() -> None:
    session = await started()
    for _ in range(3):
        os.kill(session.pid, signal.SIGINT)
    assert await shown(session, "x = 5\nx") == "5"
    await session.close()


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\x00\x00\x03\xc1\xc1\xc1", struct.pack(">I", 0x7FFFFFFF), b"\x00\x00\x00\x05\x81\xa2op\x07", b"\xff" * 64],
)
async def test_a_hostile_worker_ends_its_session_only(garbage: bytes) -> None:
    session = await started()
    code = f"""
import socket, os
for fd in os.listdir('/proc/self/fd'):
    try:
        if os.readlink(f'/proc/self/fd/{{fd}}').startswith('socket'): os.write(int(fd), {garbage!r})
    except OSError: pass
import time; time.sleep(5)
"""
    event = await session.execute(code)
    assert isinstance(event, CellDone)
    assert event.error_kind == "died"
    assert event.error is not None
    assert "broke the protocol" in event.error
    assert not session.alive
    assert is_gone(session.pid)
    await session.close()


async def test_a_worker_that_shuts_its_channel_has_died() -> None:
    session = await started()
    code = """
import contextlib, gc, socket, time
for thing in gc.get_objects():
    if isinstance(thing, socket.socket):
        with contextlib.suppress(OSError): thing.shutdown(socket.SHUT_RDWR)
time.sleep(60)
"""
    event = await session.execute(code)
    assert isinstance(event, CellDone)
    assert event.error_kind == "died"
    assert is_gone(session.pid)


async def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    session = await ProcessKernel().session()
    source = ContextSource("text", tmp_path / "없음")
    with pytest.raises(KernelError, match="없음"):
        await session.start(Bindings(task="x", context=source), None)
    await session.close()


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x28\xb5\x2f\xfd" + bytes(20)])
async def test_a_damaged_snapshot_is_a_kernel_error(data: bytes) -> None:
    session = await ProcessKernel().session()
    with pytest.raises(KernelError, match="snapshot"):
        await session.start(TASK, SnapshotSource(data, bytes.fromhex))
    assert not session.alive
    await session.close()


async def test_a_care_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CARE_SECONDS", 0.3)
    session = await started()
    await session.execute("import time\nclass Slow:\n    def __reduce__(self): time.sleep(60)\ns = Slow()")
    with pytest.raises(KernelError, match=r"took over 0.3 s"):
        await session.snapshot()
    assert is_gone(session.pid)


async def test_a_paused_cell_can_be_closed() -> None:
    session = await started()
    assert isinstance(await session.execute("llm('a')"), CellPaused)
    await session.close()
    assert is_gone(session.pid)


HOST = """
import asyncio, os, sys
from rlm_agent.repl.kernel import Bindings
from rlm_agent.repl.process import ProcessKernel

async def main():
    session = await ProcessKernel().session()
    await session.start(Bindings(task=""), None)
    done = await session.execute("import os; print(os.getppid(), os.getcwd())")
    print(session.pid, done.output.strip(), flush=True)
    await session.execute({code!r})
    await asyncio.sleep({seconds})
    await session.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("code", ["while True: pass", "llm('a')\n", "import re; re.match('(a+)+b', 'a' * 60)"])
def test_a_killed_host_takes_zygote_and_workers_with_it(code: str) -> None:
    program = HOST.format(code=code, seconds=60)
    host = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    pid, parent, scratch = host.stdout.readline().split()
    worker, zygote = int(pid), int(parent)
    time.sleep(0.1)
    assert not is_gone(worker)
    host.kill()
    host.wait()
    host.stdout.close()
    assert eventually(lambda: is_gone(worker) and is_gone(zygote))
    assert eventually(lambda: not os.path.exists(scratch))


def test_a_killed_host_takes_what_cells_started_with_it() -> None:
    code = "import subprocess; open('pid', 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"
    program = HOST.format(code=code, seconds=60)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        note = Path(host.stdout.readline().split()[2], "pid")
        assert eventually(lambda: note.exists() and note.read_text() != "", 30)
        child = int(note.read_text())
        assert not is_gone(child)
        host.kill()
    assert eventually(lambda: is_gone(child))


def test_a_forked_host_starts_its_own_zygote() -> None:
    program = textwrap.dedent("""
        import asyncio, os
        from rlm_agent.repl.kernel import Bindings
        from rlm_agent.repl.process import ProcessKernel

        async def zygote():
            session = await ProcessKernel().session()
            await session.start(Bindings(task=""), None)
            done = await session.execute("import os; print(os.getppid())")
            await session.close()
            return done.output.strip()

        first = asyncio.run(zygote())
        pid = os.fork()
        second = asyncio.run(zygote())
        if pid == 0:
            assert second != first, (first, second)
        else:
            assert second == first, (first, second)
            assert os.waitpid(pid, 0)[1] == 0
            print("good")
    """)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "good\n", result.stderr


def test_importing_and_leaving_is_quiet() -> None:
    program = HOST.format(code="1", seconds=0)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_zygote_says_why_it_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    shared_spawner().stop()
    with monkeypatch.context() as patch:
        patch.setattr("rlm_agent.repl.spawner.BOOT", "raise SystemExit('고장')")
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(KernelError, match="고장"):
            shared_spawner().fork(theirs, "/")
        patch.setattr(sys, "executable", "/없음/python")
        with ours, theirs, pytest.raises(KernelError, match="없음"):
            shared_spawner().fork(theirs, "/")
