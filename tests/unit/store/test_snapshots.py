"""Snapshots in the home: whole under their key, small leaves in one commit, and what is missing is named."""

import os
import random

import pytest

from rlm_agent.errors import HomeError, SnapshotCorrupt
from rlm_agent.repl.kernel import Snapshot
from rlm_agent.repl.manifest import Manifest
from rlm_agent.store import snapshots
from rlm_agent.store.home import Home
from rlm_agent.store.plain import digest

NOISE = random.Random(1)
LEAVES = {digest(leaf): leaf for leaf in [NOISE.randbytes(size) for size in [1 << 20, 100_000, *[500] * 50]]}


def snapshot(keys: list[str], new: dict[str, bytes]) -> Snapshot:
    manifest = Manifest("3.11", b"".join(map(bytes.fromhex, keys)), b"body").encode()
    return Snapshot(manifest, new, (), (), 0.0)


async def test_a_snapshot_comes_back_leaf_by_leaf(home: Home) -> None:
    taken = snapshot([*LEAVES, *LEAVES], LEAVES)
    assert taken.size == len(taken.manifest) + sum(map(len, LEAVES.values()))
    key = await snapshots.save(home, taken)
    source = snapshots.source(home, key)
    assert source.manifest == taken.manifest
    assert snapshots.keys_of(source.manifest) == list(LEAVES)
    assert {name: source.read(name) for name in LEAVES} == LEAVES


async def test_small_leaves_share_a_commit(home: Home) -> None:
    home.open()
    before = home.commits
    await snapshots.save(home, snapshot(list(LEAVES), LEAVES))
    assert home.commits - before <= 5


async def test_the_next_snapshot_names_leaves_that_are_there(home: Home) -> None:
    await snapshots.save(home, snapshot(list(LEAVES), LEAVES))
    first = next(iter(LEAVES))
    assert await snapshots.save(home, snapshot(list(LEAVES), {})) == await snapshots.save(
        home, snapshot(list(LEAVES), {first: LEAVES[first]})
    )


@pytest.mark.parametrize("number", [0, -1])
async def test_a_leaf_that_is_gone_fails_the_snapshot_not_the_restore(home: Home, number: int) -> None:
    gone = list(LEAVES)[number]
    kept = {key: leaf for key, leaf in LEAVES.items() if key != gone}
    await snapshots.save(home, snapshot(list(kept), kept))
    with pytest.raises(HomeError, match=f"1 of the snapshot's blobs are gone.*{gone}"):
        await snapshots.save(home, snapshot(list(LEAVES), {}))


async def test_a_damaged_leaf_or_manifest_is_named(home: Home) -> None:
    key = await snapshots.save(home, snapshot(list(LEAVES), LEAVES))
    large = next(iter(LEAVES))
    os.truncate(home.blobs.path(large), 10)
    source = snapshots.source(home, key)
    with pytest.raises(SnapshotCorrupt, match=large):
        source.read(large)
    with pytest.raises(SnapshotCorrupt, match="missing"):
        snapshots.source(home, digest(b"never"))
    other = await home.blobs.put(b"no manifest")
    with pytest.raises(SnapshotCorrupt, match="manifest is damaged"):
        snapshots.source(home, other)
