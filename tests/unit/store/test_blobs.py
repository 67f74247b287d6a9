"""Content-addressed blobs, small and large."""

import os

import pytest

from rlm_agent.errors import SnapshotCorrupt
from rlm_agent.store.blobs import LARGE
from rlm_agent.store.home import Home
from rlm_agent.store.plain import digest

SMALL_DATA, LARGE_DATA = b"small", os.urandom(LARGE)


@pytest.mark.parametrize("data", [b"", SMALL_DATA, LARGE_DATA])
async def test_bytes_come_back_under_their_digest(home: Home, data: bytes) -> None:
    key = await home.blobs.put(data)
    assert key == digest(data) == home.blobs.put_sync(data)
    assert home.blobs.get(key) == data
    assert home.blobs.has(key)


async def test_large_ones_are_private_files_and_small_ones_are_none(home: Home) -> None:
    small, large = await home.blobs.put(SMALL_DATA), await home.blobs.put(LARGE_DATA)
    assert not home.blobs.path(small).exists()
    assert home.blobs.path(large).parent.name == large[:2]
    assert home.blobs.path(large).stat().st_mode & 0o777 == 0o600
    assert list((home.path / "tmp").iterdir()) == []


async def test_a_second_put_writes_nothing(home: Home) -> None:
    key = await home.blobs.put(LARGE_DATA)
    before = home.blobs.path(key).stat()
    await home.blobs.put(LARGE_DATA)
    after = home.blobs.path(key).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_missing_blob_names_itself(home: Home) -> None:
    key = digest(b"never")
    with pytest.raises(SnapshotCorrupt, match=key):
        home.blobs.get(key)
    assert not home.blobs.has(key)


def test_damage_is_found_and_named(home: Home) -> None:
    key, small = home.blobs.put_sync(LARGE_DATA), home.blobs.put_sync(SMALL_DATA)
    home.blobs.path(key).write_bytes(bytes([LARGE_DATA[0] ^ 1]) + LARGE_DATA[1:])
    with pytest.raises(SnapshotCorrupt, match=f"{key}.*damaged"):
        home.blobs.get(key)
    home.write(lambda c: c.execute("UPDATE blobs SET data = x'00' WHERE key = ?", (small,)).rowcount).result(5)
    with pytest.raises(SnapshotCorrupt, match=str(home.path)):
        home.blobs.get(small)


async def test_a_cut_file_is_mended_by_the_next_put(home: Home) -> None:
    key = await home.blobs.put(LARGE_DATA)
    home.blobs.path(key).write_bytes(LARGE_DATA[:100])
    await home.blobs.put(LARGE_DATA)
    assert home.blobs.get(key) == LARGE_DATA


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "a" * 65])
def test_what_is_no_key_never_becomes_a_path(home: Home, key: str) -> None:
    with pytest.raises(SnapshotCorrupt, match="not the key"):
        home.blobs.get(key)
