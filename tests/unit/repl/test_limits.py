"""Limits of a session, children included: what a cell reads that goes beyond them, and what the host is left with."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_agent.repl.disk import TooDeep, remove_tree, size_of
from rlm_agent.repl.isolation import NAMES
from rlm_agent.repl.kernel import Bindings, CellDone
from rlm_agent.repl.process import ProcessKernel, ProcessSession
from rlm_agent.repl.usage import deleted_files, descendants, resident, shares
from rlm_agent.settings import Limits

Run = Callable[..., Awaitable[CellDone]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Runs one cell in a session with these limits; its scratch directory must be gone afterwards."""
    sessions: list[ProcessSession] = []

    async def one(code: str, *, without: str = "", **limits: Any) -> CellDone:
        layers = [name for name in NAMES if name != without]
        session = await ProcessKernel(Limits(**limits), layers=layers).session()
        assert isinstance(session, ProcessSession)
        sessions.append(session)
        await session.start(Bindings(task=""), None)
        event = await session.execute(code)
        assert isinstance(event, CellDone)
        return event

    yield one
    for session in sessions:
        await session.close()
    assert [session._scratch for session in sessions if Path(session._scratch).exists()] == []  # noqa: ASYNC240


async def test_one_process_gets_an_error_of_pythons_own(run: Run) -> None:
    event = await run("kept = []\nwhile True: kept.append(bytearray(b'x') * (1 << 20))", memory_mb=200)
    assert event.error is not None
    assert event.error.endswith("MemoryError")


async def test_several_processes_are_summed(run: Run) -> None:
    code = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        kept = bytearray(b'x') * (150 << 20)
        time.sleep(60)
time.sleep(60)
"""
    event = await run(code, memory_mb=200)
    assert event.error_kind == "killed"
    assert event.error is not None
    assert "more than memory_mb=200; the namespace of before this cell is restored." in event.error


SHARED = """
import mmap, os, time
for _ in range(6):
    if os.fork() == 0:
        kept = mmap.mmap(-1, 150 << 20)
        for at in range(0, len(kept), 4096): kept[at] = 1
        {hide}
        time.sleep(60)
time.sleep(60)
"""


@pytest.mark.parametrize("hide", ["pass", "kept.madvise(mmap.MADV_DONTNEED)"], ids=["mapped", "hidden"])
async def test_shared_memory_is_summed(run: Run, hide: str) -> None:
    """Pages of a shared mapping stay in memory also where no process has them in its tables any more."""
    event = await run(SHARED.format(hide=hide), memory_mb=200, without="seccomp")
    assert event.error_kind == "killed"
    assert event.error is not None
    assert "more than memory_mb=200" in event.error


async def test_shared_memory_of_several_processes_counts_once(run: Run) -> None:
    code = """
import mmap, os, time
kept = mmap.mmap(-1, 300 << 20)
for at in range(0, len(kept), 4096): kept[at] = 1
for _ in range(3):
    if os.fork() == 0:
        for at in range(0, len(kept), 4096): kept[at] = 2
        time.sleep(1.5)
        os._exit(0)
time.sleep(1)
"""
    assert (await run(code, memory_mb=700, without="seccomp")).error is None


@pytest.mark.parametrize(
    "memory",
    ["mmap.mmap(-1, 4096)", "mmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096)", "os.memfd_create('x')"],
)
async def test_memory_that_would_belong_to_no_process_is_refused(run: Run, memory: str) -> None:
    event = await run(f"import mmap, os\n{memory}")
    assert event.error is not None
    assert "PermissionError" in event.error


async def test_memory_of_ones_own_can_be_mapped(run: Run) -> None:
    code = """
import mmap
own = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE)
own[:3] = b'abc'
with open('shared', 'w+b') as f:
    f.truncate(1 << 20)
    mmap.mmap(f.fileno(), 0)[:3] = own[:3]
print(open('shared', 'rb').read(3), open('/dev/zero', 'rb').read(2))
"""
    event = await run(code)
    assert (event.error, event.output) == (None, "b'abc' b'\\x00\\x00'\n")


async def test_memory_that_a_fork_shares_counts_once(run: Run) -> None:
    code = """
import os, time
kept = bytearray(b'x') * (300 << 20)
for _ in range(3):
    if os.fork() == 0:
        time.sleep(1.5)
        os._exit(0)
time.sleep(1)
"""
    assert (await run(code, memory_mb=500)).error is None


@pytest.mark.parametrize(
    "files",
    [
        "open(f'f{n}', 'wb').write(bytes(10 << 20))",
        "f = tempfile.TemporaryFile(); f.write(bytes(10 << 20)); kept.append(f)",
    ],
    ids=["named", "deleted"],
)
async def test_files_are_summed(run: Run, files: str) -> None:
    event = await run(f"import itertools, tempfile\nkept = []\nfor n in itertools.count():\n    {files}", disk_mb=50)
    assert event.error_kind == "killed"
    assert event.error is not None
    assert "MB, more than disk_mb=50" in event.error


@pytest.mark.parametrize("length", ["10 << 20", "4096"])
async def test_a_deleted_file_cannot_be_hidden_in_a_mapping(run: Run, length: str) -> None:
    """Without the descriptor that Python's own `mmap` keeps nothing tells how large it is."""
    code = f"""
import ctypes, itertools, tempfile, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
for n in itertools.count():
    with tempfile.TemporaryFile() as f:
        f.write(bytes(10 << 20))
        f.flush()
        where = libc.mmap(None, ctypes.c_size_t({length}), 1, 2, f.fileno(), ctypes.c_long(0))
        assert where != ctypes.c_void_p(-1).value
    time.sleep(0.02)
"""
    event = await run(code, disk_mb=50)
    assert event.error_kind == "killed"
    assert event.error is not None
    assert "so that its size cannot be told" in event.error


async def test_a_deleted_file_cannot_be_hidden_in_a_sockets_queue(run: Run) -> None:
    code = """
import socket, tempfile
one, other = socket.socketpair()
socket.send_fds(one, [b'x'], [tempfile.TemporaryFile().fileno()])
"""
    event = await run(code)
    assert event.error is not None
    assert "PermissionError" in event.error


async def test_a_deleted_file_that_python_maps_counts_as_what_it_holds(run: Run) -> None:
    code = """
import mmap, tempfile, time
with tempfile.TemporaryFile() as f:
    f.write(bytes(10 << 20)); f.flush()
    kept = mmap.mmap(f.fileno(), 4096)
time.sleep(1.5)
"""
    assert (await run(code, disk_mb=50)).error is None


async def test_a_file_of_more_than_the_limit_cannot_be_written(run: Run) -> None:
    event = await run("open('large', 'wb').write(bytes(60 << 20))", disk_mb=50)
    assert event.error is not None
    assert "File too large" in event.error


async def test_directories_without_end(run: Run) -> None:
    event = await run("import os\nwhile True:\n    os.mkdir('d')\n    os.chdir('d')")
    assert event.error is not None
    assert "nested deeper than" in event.error


@pytest.mark.slow
async def test_processes_are_counted(run: Run) -> None:
    code = "import os, time\nfor _ in range(300):\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(60)"
    event = await run(code)
    # The kernel holds the bound for a plain user, the host for root.
    assert event.error is not None
    assert "more than 256 processes" in event.error or "BlockingIOError" in event.error


async def test_threads_are_counted(run: Run) -> None:
    code = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    event = await run(code)
    assert event.error is not None
    assert "more than 256 processes" in event.error or "can't start new thread" in event.error


async def test_open_files_are_bounded(run: Run) -> None:
    event = await run("kept = []\nwhile True: kept.append(open('/dev/null'))")
    assert event.error is not None
    assert "Too many open files" in event.error


async def test_a_session_cannot_leave_its_process_group(run: Run) -> None:
    event = await run("import subprocess\nsubprocess.Popen(['sleep', '60'], start_new_session=True)")
    assert event.error is not None
    assert "PermissionError" in event.error


# What the host measures with.


def test_this_process_holds_something() -> None:
    found, threads = descendants(os.getpid(), 10_000)
    assert os.getpid() in found
    assert threads >= 1
    assert 0 < shares([os.getpid()]) <= 2 * resident([os.getpid()])
    assert descendants(2**22 + 1, 10) == ([], 0)
    assert (resident([2**22 + 1]), shares([2**22 + 1])) == (0, 0)


def test_a_deleted_file_counts_once(tmp_path: Path) -> None:
    before = deleted_files([os.getpid()])
    with open(tmp_path / "f", "wb") as file:
        file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        os.unlink(tmp_path / "f")
        again = os.dup(file.fileno())
        now = deleted_files([os.getpid(), os.getpid()])
        assert [now[inode] for inode in now.keys() - before.keys()] == [1 << 20]
        os.close(again)


def test_the_size_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(bytes(100_000))
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/")
    size, entries = size_of(str(tmp_path))
    assert entries == 4
    assert 100_000 < size < 150_000
    assert size_of(str(tmp_path / "없음")) == (0, 0)


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "scratch"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 100, dir_fd=fd)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(fd)
        fd = below
    os.close(fd)
    try:
        with pytest.raises(TooDeep):
            size_of(str(top))
    finally:
        # What stays is more than pytest can remove.
        remove_tree(str(top))
    assert not top.exists()
    remove_tree(str(top))


def test_removal_takes_back_rights_and_follows_no_link(tmp_path: Path) -> None:
    outside, top = tmp_path / "outside", tmp_path / "scratch"
    (outside / "kept").mkdir(parents=True)
    outside.chmod(0o500)
    (top / "closed").mkdir(parents=True)
    (top / "closed/link").symlink_to(outside)
    (top / "link").symlink_to(outside)
    (top / "closed/f").touch()
    (top / "closed").chmod(0)
    top.chmod(0o500)
    remove_tree(str(top))
    assert not top.exists()
    assert (outside / "kept").is_dir()
    assert outside.stat().st_mode & 0o777 == 0o500
    outside.chmod(0o700)
