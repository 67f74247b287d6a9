"""What every home must hold to, whatever its users do: laziness, crashes, forks, many processes, bad disks."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rlm_agent.errors import HomeError, StateVersionError
from rlm_agent.store.home import Home, as_home, default_home
from rlm_agent.store.records import StepRecord

RECORDER = """
import asyncio, sys
from rlm_agent.store.home import Home
from rlm_agent.store.records import StepRecord

async def keep_recording(home, name):
    number = 0
    while True:
        key = f"{name}-{number}"
        body = {"text": "x" * (100 if number % 10 else 100_000)}
        await home.ledger.record(StepRecord(key, "run", 1, 1, "model", "sub", body))
        print(key, flush=True)
        number += 1

async def main():
    home = Home(sys.argv[1])
    await asyncio.gather(*(keep_recording(home, f"{sys.argv[2]}{n}") for n in range(4)))

asyncio.run(main())
"""


def step(key: str) -> StepRecord:
    return StepRecord(key, "run", 1, 1, "model", "sub", {"text": "한국어"}, calls=1)


def start_recorder(path: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", RECORDER, str(path), name], stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], lines: int) -> list[str]:
    """Every key that the process printed, killed when it printed that many."""
    keys = [process.stdout.readline().strip() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    return keys + rest.split("\n")[:-1]


# --- opening


def test_making_a_home_touches_nothing_and_first_use_opens_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    assert home.path == tmp_path / "deep" / "home"
    assert not home.path.parent.exists()
    assert home.runs.list() == []
    assert home.is_open
    home.close()


def test_directories_and_files_are_private(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with Home(tmp_path / "h") as home:
            home.blobs.put_sync(b"x" * 100_000)
            home.corpora.put_value("text")
            assert home.checkpointer.get_tuple({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}) is None
            modes = {p: p.stat().st_mode & 0o777 for p in (home.path, *home.path.rglob("*"))}
    finally:
        os.umask(previous)
    assert {p.name: oct(m) for p, m in modes.items() if m != (0o700 if p.is_dir() else 0o600)} == {}


def test_the_id_stays_and_differs_between_homes(tmp_path: Path) -> None:
    with Home(tmp_path / "a") as home:
        first = home.id
    with Home(tmp_path / "a") as again, Home(tmp_path / "b") as other:
        assert again.id == first != other.id
    assert json.loads((tmp_path / "a" / "home.json").read_text())["id"] == first


def test_two_processes_that_make_a_home_at_once_agree_on_its_id(tmp_path: Path) -> None:
    code = "import sys; from rlm_agent.store.home import Home; print(Home(sys.argv[1]).id)"
    made = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "h")], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in made}) == 1
    assert all(process.returncode == 0 for process in made)


def test_a_closed_home_opens_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    key = home.blobs.put_sync(b"data")
    home.close()
    home.close()
    assert not home.is_open
    assert home.blobs.get(key) == b"data"
    home.close()


def test_the_default_home_is_one_a_directory(own_home: Path, tmp_path: Path) -> None:
    home = default_home()
    assert home.path == own_home.resolve()
    assert default_home(own_home / ".." / own_home.name) is home is as_home(None)
    assert default_home(tmp_path / "other") is not home
    assert as_home(home) is home


# --- many writers, and kills


async def test_hundreds_of_records_at_once_are_few_commits(tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:
        before = home.commits
        await asyncio.gather(*(home.ledger.record(step(f"k{i}")) for i in range(500)))
        assert home.commits - before <= 20
        assert home.ledger.count("run") == 500


@pytest.mark.parametrize("lines", [1, 30, 300])
def test_every_record_that_returned_outlives_a_kill(tmp_path: Path, lines: int) -> None:
    keys = kill_after(start_recorder(tmp_path / "h", "k"), lines)
    assert len(keys) >= lines
    with Home(tmp_path / "h") as home:
        found = home.ledger.get_many(keys)
    assert sorted(found) == sorted(keys)


def test_two_processes_share_a_home_and_lose_nothing_when_killed(tmp_path: Path) -> None:
    first, second = start_recorder(tmp_path / "h", "a"), start_recorder(tmp_path / "h", "b")
    keys = kill_after(first, 200) + kill_after(second, 200)
    with Home(tmp_path / "h") as home:
        assert sorted(home.ledger.get_many(keys)) == sorted(keys)


def test_what_was_queued_is_on_disk_after_a_normal_end(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom rlm_agent.store.home import Home\nhome = Home(sys.argv[1])\n"
        "for n in range(200):\n"
        "    row = (str(n), b'')\n"
        "    home.write(lambda c, row=row: c.execute('INSERT INTO blobs (key, data) VALUES (?, ?)', row).rowcount)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "h")], check=True)
    with Home(tmp_path / "h") as home:
        assert home.write(lambda c: c.execute("SELECT COUNT(*) FROM blobs").fetchone()).result(5) == (200,)


# --- loops, threads and forks


def test_one_home_serves_several_event_loops_and_threads(tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:

        def record(name: str) -> None:
            asyncio.run(record_some(home, name))

        threads = [threading.Thread(target=record, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert home.ledger.count("run") == 80


async def record_some(home: Home, name: str) -> None:
    await asyncio.gather(*(home.ledger.record(step(f"{name}{i}")) for i in range(20)))
    assert await home.read(home.ledger.get, f"{name}0") is not None


def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    code = """
import asyncio, os, sys
from rlm_agent.store.home import Home
from rlm_agent.store.records import StepRecord
home = Home(sys.argv[1]).open()
def record(key):
    asyncio.run(home.ledger.record(StepRecord(key, "run", 1, 1, "model", "sub", {})))
record("before")
lease = asyncio.run(home.leases.acquire("run", wait=0))
child = os.fork()
if not child:
    record("child")
    assert home.ledger.get("before") is not None
    home.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
asyncio.run(home.commit(lambda c: None, fence=lease.fence))
record("after")
print(home.ledger.count("run"))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "h")], capture_output=True, text=True, timeout=30
    )
    assert (ended.returncode, ended.stdout) == (0, "3\n"), ended.stderr


# --- what cannot work says so


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "home.db").write_bytes(b"not a database at all, really not" * 100)
    with pytest.raises(HomeError, match=r"h/home\.db cannot be used \(file is not a database\): restore it"):
        Home(tmp_path / "h").open()


def test_a_path_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(HomeError, match=r"file.* cannot be used .*RLM_HOME"):
            Home(path).open()


async def test_a_home_that_cannot_be_opened_says_so_to_every_caller(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    home = Home(tmp_path / "file")
    for call in (lambda: home.ledger.record(step("k")), lambda: home.read(home.runs.list)):
        with pytest.raises(HomeError, match="RLM_HOME"):
            await call()
    with pytest.raises(HomeError):
        home.ledger.get("k")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": 1}'])
def test_a_broken_description_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "home.json").write_text(content)
    with pytest.raises(HomeError, match=r"home\.json"):
        Home(tmp_path).open()


def test_a_home_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text('{"rlm_home": 2, "id": "x"}')
    with pytest.raises(StateVersionError, match=r"home\.json has version 2.*upgrade"):
        Home(tmp_path).open()


async def test_a_full_disk_fails_the_writes_that_do_not_fit_and_only_those(tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:
        await home.ledger.record(step("before"))
        pages = await home.commit(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
        await home.commit(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 4}").fetchone())
        big = StepRecord("big", "run", 1, 1, "model", "sub", {"text": "x" * 60_000})
        with pytest.raises(HomeError, match=r"full.*free disk space"):
            await home.ledger.record(big)
        await home.commit(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())
        await home.ledger.record(big)
        assert home.ledger.count("run") == 2


def test_a_file_that_cannot_grow_fails_the_write_and_the_home_goes_on(tmp_path: Path) -> None:
    code = """
import asyncio, resource, sys
from rlm_agent.errors import HomeError
from rlm_agent.store.home import Home
home = Home(sys.argv[1]).open()
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
def put_one():
    home.blobs.put_sync(b"x" * 400_000)
def put_many():
    for n in range(9):
        home.blobs.put_sync(bytes([n]) * 60_000)
for put in (put_one, put_many):
    try:
        put()
    except HomeError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
home.blobs.get(home.blobs.put_sync(b"y" * 60_000))
print(list((home.path / "tmp").iterdir()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "h")], capture_output=True, text=True, timeout=30
    )
    first, second, left = ended.stdout.splitlines()
    assert "free disk space" in first
    assert "free space" in second
    assert left == "[]"
