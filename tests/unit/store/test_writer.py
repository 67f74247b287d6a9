"""Group commit: many operations, few transactions; each fails alone; close drains."""

import asyncio
import sqlite3
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from rlm_agent.errors import HomeError, LeaseLost
from rlm_agent.store.fence import Fence
from rlm_agent.store.home import Home


def insert(key: str):
    return lambda connection: connection.execute("INSERT INTO blobs (key, data) VALUES (?, ?)", (key, b"x")).rowcount


def has(home: Home, key: str) -> bool:
    return home.blobs._row(key) is not None


async def test_concurrent_operations_share_commits(home: Home) -> None:
    before = home.commits
    await asyncio.gather(*(home.commit(insert(f"k{i}")) for i in range(500)))
    assert home.commits - before <= 20
    assert all([has(home, "k0"), has(home, "k499")])


def test_operations_of_many_threads_are_all_committed(home: Home) -> None:
    def work(name: str) -> None:
        for i in range(20):
            home.write(insert(f"{name}-{i}")).result(10)

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(has(home, f"{n}-19") for n in range(8))


def test_an_operation_that_raises_fails_alone_and_leaves_nothing(home: Home) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        insert("half")(connection)
        raise ValueError("mine")

    block, first = threading.Event(), Future()
    home.write(lambda c: (first.set_result(None), block.wait(5)))
    first.result(5)
    futures = [home.write(insert("a")), home.write(broken), home.write(insert("b"))]
    block.set()
    assert futures[0].result(5) == futures[2].result(5) == 1
    with pytest.raises(ValueError, match="mine"):
        futures[1].result(5)
    assert (has(home, "a"), has(home, "half"), has(home, "b")) == (True, False, True)


def test_a_future_resolves_only_after_its_commit(home: Home) -> None:
    future = home.write(insert("k"))
    seen: list[bool] = []
    future.add_done_callback(lambda _: seen.append(has(home, "k")))
    future.result(5)
    home.write(lambda c: None).result(5)
    assert seen == [True]


async def test_a_cancelled_waiter_does_not_cancel_its_write(home: Home) -> None:
    block, started = threading.Event(), threading.Event()
    home.write(lambda c: (started.set(), block.wait(5)))
    started.wait(5)
    task = asyncio.create_task(home.commit(insert("k")))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    block.set()
    await home.commit(lambda c: None)
    assert has(home, "k")


def test_close_commits_what_is_queued(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    futures = [home.write(insert(f"k{i}")) for i in range(100)]
    home.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert has(home, "k99")
    home.close()


def test_writes_while_another_thread_closes_are_never_left_hanging(tmp_path: Path) -> None:
    home = Home(tmp_path / "h").open()
    futures: list[Future[int]] = []
    failures: list[HomeError] = []
    stop = threading.Event()

    def write() -> None:
        try:
            while not stop.is_set():
                futures.append(home.write(lambda c: 1))
        except HomeError as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(20):
        home.close()
    stop.set()
    thread.join()
    home.close()
    assert failures == []
    outcomes = [future.exception(10) for future in futures]
    assert all(error is None or isinstance(error, HomeError) for error in outcomes)


def test_a_write_that_meets_a_closing_writer_is_made_after_all(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = home._database._here
    stale = [opened()]
    home.close()
    monkeypatch.setattr(home._database, "_here", lambda: stale.pop() if stale else opened())
    assert home.write(insert("k")).result(5) == 1
    assert has(home, "k")


def test_a_fence_refuses_after_another_owner_took_over(home: Home) -> None:
    home.write(
        lambda c: c.execute("INSERT INTO leases VALUES ('run', 7, 'me', 'h', 'b', 1, '', 0, 0)").rowcount
    ).result(5)
    home.write(insert("a"), fence=Fence("run", 7)).result(5)
    for stale in (Fence("run", 6), Fence("other", 1)):
        with pytest.raises(LeaseLost, match="took the run over"):
            home.write(insert("b"), fence=stale).result(5)
    assert not has(home, "b")
