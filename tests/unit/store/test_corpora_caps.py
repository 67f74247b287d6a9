"""The caps of one load, each of them made small enough to be met."""

import io
import tarfile
import zipfile

import pytest

from rlm_agent.errors import ConfigError
from rlm_agent.store.caps import Caps
from rlm_agent.store.home import Home


def archive_of(form: str, sizes: list[int]) -> bytes:
    buffer = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
            for number, size in enumerate(sizes):
                zipped.writestr(f"{number}.txt", b"x" * size)
    else:
        with tarfile.open(fileobj=buffer, mode=form) as tarred:
            for number, size in enumerate(sizes):
                info = tarfile.TarInfo(f"{number}.txt")
                info.size = size
                tarred.addfile(info, io.BytesIO(b"x" * size))
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["zip", "w", "w:gz", "w:xz"])
def test_an_archive_is_held_to_its_caps(home: Home, form: str) -> None:
    data = archive_of(form, [1000, 50_000, 200_000])
    assert home.corpora.load(data)["bytes"] == 251_000
    assert home.corpora.load(data, Caps(unpacked=300_000, members=3))["files"] == 3
    for caps, message in (
        (Caps(unpacked=150_000), r"'2\.txt' takes it above 150,000 bytes unpacked"),
        (Caps(unpacked=40_000), r"'1\.txt' takes it above 40,000 bytes unpacked"),
        (Caps(members=2), r"more than 2 members"),
    ):
        with pytest.raises(ConfigError, match=message):
            home.corpora.load(data, caps)


def test_the_ratio_counts_only_above_a_size_that_does_harm(home: Home) -> None:
    data = archive_of("zip", [500_000, 500_000])
    assert home.corpora.load(data, Caps(ratio=10))["bytes"] == 1_000_000
    assert home.corpora.load(data, Caps(ratio=10**6, unrated=1))["bytes"] == 1_000_000
    with pytest.raises(ConfigError, match=r"'1\.txt' unpacks to more than 10 times its size"):
        home.corpora.load(data, Caps(ratio=10, unrated=600_000))


def test_members_that_are_skipped_count_too(home: Home) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tarred:
        for name in (".git/objects/a", "binary", "a.txt"):
            info = tarfile.TarInfo(name)
            info.size = 400_000
            tarred.addfile(info, io.BytesIO(b"\0" * info.size))
    with pytest.raises(ConfigError, match=r"'binary' takes it above 500,000"):
        home.corpora.load(buffer.getvalue(), Caps(unpacked=500_000))
