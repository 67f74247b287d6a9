"""Which files are read again, and what a damaged table of files may do."""

import os
from pathlib import Path

import pytest

from rlm_agent.repl import scratch as module
from rlm_agent.repl.files import Entry, Files, restore
from rlm_agent.repl.image import SnapshotError
from rlm_agent.repl.leaves import LARGE, Leaves
from rlm_agent.repl.scratch import Scratch


def save(scratch: Scratch, leaves: Leaves) -> tuple[Files, list[bytes]]:
    sent: list[bytes] = []
    return scratch.save(leaves, sent.extend), sent


def test_a_file_is_read_once_when_its_last_change_is_long_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").write_bytes(b"1" * LARGE)
    (tmp_path / "small").write_bytes(b"1")
    read: list[bytes] = []
    pieces = module._Reading._pieces
    monkeypatch.setattr(
        module._Reading, "_pieces", lambda self, entry: (read.append(entry.path), pieces(self, entry))[1]
    )
    scratch, leaves, real = Scratch(str(tmp_path), 1 << 30), Leaves(), module.time_ns
    for _ in range(2):
        save(scratch, leaves)
    assert sorted(read) == [b"large"] * 2 + [b"small"] * 2
    monkeypatch.setattr(module, "time_ns", lambda: real() + 3_000_000_000)
    # Once more, now that no change can fall into the same tick, and then no more.
    for _ in range(3):
        files, sent = save(scratch, leaves)
        assert sent == []
    assert sorted(read) == [b"large"] * 3 + [b"small"] * 3
    (tmp_path / "large").write_bytes(b"2" * LARGE)
    changed, sent = save(scratch, leaves)
    assert changed.small == files.small
    assert changed.large != files.large
    assert len(sent) == 1
    assert sorted(read) == [b"large"] * 4 + [b"small"] * 3


def test_a_file_system_that_hides_writes_in_memory_is_read_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large").write_bytes(b"1" * LARGE)
    scratch, leaves, real = Scratch(str(tmp_path), 1 << 30), Leaves(), module.time_ns
    monkeypatch.setattr(module, "time_ns", lambda: real() + 3_000_000_000)
    monkeypatch.setattr(module, "_tells_of_writes_in_memory", lambda root: False)
    save(scratch, leaves)
    assert scratch._seen == {}
    assert os.listdir(tmp_path) == ["large"]


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="a file system in memory is needed")
def test_the_probe_knows_a_file_system_in_memory() -> None:
    assert not module._tells_of_writes_in_memory("/dev/shm")
    assert not os.path.exists("/dev/shm/.rlm-probe")


@pytest.mark.parametrize("path", [b"../out", b"/tmp/out", b"a/../../out"])
def test_a_path_that_leads_out_is_not_written(tmp_path: Path, path: bytes) -> None:
    root = tmp_path / "root"
    root.mkdir()
    entries = (Entry(b"ok", "dir", 0o755), Entry(path, "dir"), Entry(b"to", "same", target=path))
    lost = restore(Files(entries), str(root), lambda keys: iter(()), Leaves())
    assert len(lost) == 2
    assert "no path below the scratch directory" in lost[0].why
    assert os.listdir(root) == ["ok"]
    assert os.listdir(tmp_path) == ["root"]


def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    entries = (Entry(b"x", "link", target=bytes(out)), Entry(b"x", "small", 0o4777))
    assert len(restore(Files(entries), str(root), lambda keys: iter(()), Leaves())) == 1
    assert not out.exists()


def test_a_damaged_table_is_told() -> None:
    with pytest.raises(SnapshotError, match="table of files is damaged"):
        Files.read(b"\x01\x93abc", b"")
    assert Files.read(b"", b"") == Files()


def test_no_special_mode_bit_comes_back(tmp_path: Path) -> None:
    entries = (Entry(b"set", "small", 0o6755), Entry(b"sticky", "dir", 0o1777))
    assert restore(Files(entries), str(tmp_path), lambda keys: iter(()), Leaves()) == []
    assert [oct((tmp_path / name).stat().st_mode & 0o7777) for name in ("set", "sticky")] == ["0o755", "0o777"]
