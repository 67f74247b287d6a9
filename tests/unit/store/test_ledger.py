"""The ledger: first record stands, usage folds."""

import asyncio

import pytest

from rlm_agent.errors import LeaseLost, StateVersionError
from rlm_agent.store.fence import Fence
from rlm_agent.store.home import Home
from rlm_agent.store.ledger import UsageRow


async def test_a_record_comes_back_equal(home: Home, make_step) -> None:
    step = make_step(body={"text": "한", "n": 10**30, "f": [1.5, None]}, seconds=0.25, at=12.5, cached_tokens=3)
    assert await home.ledger.record(step) == step
    assert home.ledger.get("key") == step
    assert home.ledger.get("other") is None


async def test_the_first_record_of_a_key_stands(home: Home, make_step) -> None:
    first, second = make_step(body={"text": "first"}), make_step(body={"text": "second"})
    assert await home.ledger.record(first) == first
    assert await home.ledger.record(second) == first
    assert home.ledger.record_nowait(second).result(5) == first


async def test_of_two_at_once_one_stands_for_both(home: Home, make_step) -> None:
    steps = [make_step(body={"n": n}) for n in range(50)]
    returned = await asyncio.gather(*(home.ledger.record(step) for step in steps))
    assert {step.body["n"] for step in returned} == {home.ledger.get("key").body["n"]}


@pytest.mark.parametrize("size", [64 * 1024 - 100, 64 * 1024, 500_000])
async def test_large_bodies_become_blobs_and_come_back(home: Home, make_step, size: int) -> None:
    step = make_step(body={"text": "x" * size})
    assert await home.ledger.record(step) == step
    assert home.ledger.get("key") == step
    other = make_step("other", body={"text": "y" * size})
    assert home.ledger.record_nowait(other).result(5) == other == home.ledger.get("other")
    assert await home.ledger.record(make_step("other")) == other


async def test_get_many_takes_thousands_of_keys(home: Home, make_step) -> None:
    await asyncio.gather(*(home.ledger.record(make_step(f"k{i}")) for i in range(0, 2500, 2)))
    found = home.ledger.get_many(f"k{i}" for i in range(2500))
    assert len(found) == 1250
    assert found["k4"].key == "k4"
    assert home.ledger.get_many([]) == {}


async def test_usage_is_a_fold_by_role_and_model(home: Home, make_step) -> None:
    for step in (
        make_step("a", role="root", model="big", question=1, turn=1, kind="root"),
        make_step("b", role="sub", model="small", question=1, turn=2, usd=0.25),
        make_step("c", role="sub", model="small", question=2, turn=3, usd=0.5, cached_tokens=4),
        make_step("d", role="", model="small", kind="slot"),
        make_step("e", role="sub", model="small", kind="tool", calls=0, usd=None, input_tokens=0),
        make_step("f", run="other"),
    ):
        await home.ledger.record(step)
    assert home.ledger.usage("run") == [
        UsageRow("root", "big", 1, 10, 2, 0, 0.5),
        UsageRow("sub", "small", 2, 20, 4, 4, 0.75),
    ]
    assert (
        home.ledger.usage("run", 2) == [UsageRow("sub", "small", 1, 10, 2, 4, 0.5)] == home.ledger.turn_usage("run", 3)
    )
    assert home.ledger.usage("none") == []


async def test_one_unknown_price_makes_the_sum_unknown(home: Home, make_step) -> None:
    await home.ledger.record(make_step("a", usd=1.0))
    await home.ledger.record(make_step("b", usd=None))
    assert [row.usd for row in home.ledger.usage("run")] == [None]


async def test_count_by_kind_and_question(home: Home, make_step) -> None:
    for key, kind, question in (("a", "slot", 1), ("b", "slot", 2), ("c", "tool", 2)):
        await home.ledger.record(make_step(key, kind=kind, question=question))
    counts = home.ledger.count("run"), home.ledger.count("run", "slot"), home.ledger.count("run", "slot", 2)
    assert counts == (3, 2, 1)


async def test_a_stale_fence_records_nothing(home: Home, make_step) -> None:
    with pytest.raises(LeaseLost):
        await home.ledger.record(make_step(), Fence("run", 1))
    with pytest.raises(LeaseLost):
        home.ledger.record_nowait(make_step(body={"t": "x" * 10**5}), Fence("run", 1)).result(5)
    assert home.ledger.get("key") is None


async def test_a_step_of_a_newer_version_is_refused(home: Home, make_step) -> None:
    await home.ledger.record(make_step(version=99))
    with pytest.raises(StateVersionError, match=r"version 99.*upgrade"):
        home.ledger.get("key")


@pytest.mark.parametrize("size", [10, 500_000])
async def test_a_record_is_made_though_its_caller_is_cancelled(home: Home, make_step, size: int) -> None:
    task = asyncio.ensure_future(home.ledger.record(make_step(body={"text": "x" * size})))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    home.close()
    assert home.ledger.get("key") is not None
