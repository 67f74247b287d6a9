"""Leases: one owner, a growing token, a heartbeat, and the dead lose at once."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rlm_agent.errors import LeaseHeld, LeaseLost
from rlm_agent.store.home import Home
from rlm_agent.store.leases import Leases
from rlm_agent.store.owners import Process, this_process

OWNER = """
import asyncio, sys, time
from rlm_agent.store.home import Home
async def main():
    home = Home(sys.argv[1])
    lease = await home.leases.acquire("run", wait=0)
    print(lease.fence.token, flush=True)
    await asyncio.sleep(float(sys.argv[2]))
    await lease.release()
    time.sleep(30)
asyncio.run(main())
"""


def start_owner(home: Home, seconds: float) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home.path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    return process, int(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    process.stdout.close()


async def change(home: Home, assignment: str) -> None:
    await home.commit(lambda c: c.execute(f"UPDATE leases SET {assignment}").rowcount)


async def test_a_released_run_is_free_and_the_token_grows(home: Home) -> None:
    tokens = []
    for _ in range(3):
        async with await home.leases.acquire("run", wait=0) as lease:
            tokens.append(lease.fence.token)
    lease.release_sync()
    assert tokens == [1, 2, 3]


async def test_a_second_call_in_this_process_is_held_off_too(home: Home) -> None:
    lease = await home.leases.acquire("run", wait=0)
    start = time.monotonic()
    with pytest.raises(LeaseHeld, match=rf"process {os.getpid()} on .* since .* UTC\. Wait"):
        await home.leases.acquire("run", wait=0.3)
    assert 0.3 <= time.monotonic() - start < 2
    await home.leases.acquire("another", wait=0)
    await lease.release()
    await home.leases.acquire("run", wait=0)


async def test_a_waiting_call_gets_the_run_when_it_is_released(home: Home) -> None:
    lease = await home.leases.acquire("run", wait=0)
    waiting = asyncio.create_task(home.leases.acquire("run", wait=10))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await lease.release()
    assert (await waiting).fence.token == 2


async def test_another_process_holds_the_run_until_it_dies(home: Home) -> None:
    owner, token = start_owner(home, 30)
    try:
        with pytest.raises(LeaseHeld, match=f"process {owner.pid} "):
            await home.leases.acquire("run", wait=0.3)
        owner.kill()  # not yet reaped: it stays behind as a zombie
        start = time.monotonic()
        lease = await home.leases.acquire("run", wait=10)
        assert time.monotonic() - start < 5
        assert lease.fence.token == token + 1
    finally:
        end(owner)


async def test_two_processes_contend_and_the_second_waits(home: Home) -> None:
    owner, token = start_owner(home, 0.6)
    try:
        lease = await home.leases.acquire("run", wait=10)
        assert lease.fence.token == token + 1
        assert owner.poll() is None
    finally:
        end(owner)


async def test_a_pid_given_out_again_is_another_process(home: Home) -> None:
    await home.leases.acquire("run", wait=0)
    await change(home, "started = '1'")
    assert (await home.leases.acquire("run", wait=0)).fence.token == 2


async def test_an_owner_elsewhere_is_believed_until_its_time_is_up(home: Home) -> None:
    await home.leases.acquire("run", wait=0)
    await change(home, "host = 'elsewhere', pid = 999999999")
    with pytest.raises(LeaseHeld, match="elsewhere"):
        await home.leases.acquire("run", wait=0)
    await change(home, "expires = 0")
    assert (await home.leases.acquire("run", wait=0)).fence.token == 2


async def test_the_heartbeat_renews(home: Home) -> None:
    leases = Leases(home._database, ttl=0.6, beat=0.1)
    lease = await leases.acquire("run", wait=0)
    await asyncio.sleep(1)
    with pytest.raises(LeaseHeld):
        await leases.acquire("run", wait=0)
    assert not lease.lost
    leases.close()
    assert (await home.leases.acquire("run", wait=0)).fence.token == 2


async def test_after_a_takeover_the_old_owner_can_write_nothing_and_learns_of_it(home: Home) -> None:
    leases = Leases(home._database, beat=0.05)
    old = await leases.acquire("run", wait=0)
    await change(home, "expires = 0")
    new = await home.leases.acquire("run", wait=0)
    with pytest.raises(LeaseLost):
        await home.commit(lambda c: None, fence=old.fence)
    await home.commit(lambda c: None, fence=new.fence)
    await asyncio.sleep(0.3)
    assert old.lost
    await old.release()
    with pytest.raises(LeaseHeld):
        await leases.acquire("run", wait=0)
    leases.close()


async def test_a_cancelled_acquire_leaves_no_owner(home: Home) -> None:
    block, started = threading.Event(), threading.Event()
    home.write(lambda c: (started.set(), block.wait(5)))
    started.wait(5)
    task = asyncio.create_task(home.leases.acquire("run", wait=0))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    block.set()
    await home.leases.acquire("run", wait=1)


async def test_close_gives_all_leases_back(tmp_path: Path) -> None:
    first, second = Home(tmp_path / "h"), Home(tmp_path / "h")
    await first.leases.acquire("a", wait=0)
    await first.leases.acquire("b", wait=0)
    first.close()
    await second.leases.acquire("a", wait=0)
    await second.leases.acquire("b", wait=0)
    second.close()


def test_this_process_lives_and_a_missing_one_is_dead() -> None:
    me = this_process()
    assert not me.is_dead()
    assert Process(me.host, me.boot, 2**22 + 5, "").is_dead()
    assert not Process("elsewhere", me.boot, 2**22 + 5, "").is_dead()
    assert not Process(me.host, "another boot", 2**22 + 5, "").is_dead()
