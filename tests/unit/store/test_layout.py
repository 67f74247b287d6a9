"""The home's directory: made once, by one of many; cleaned of what was left half written."""

import os
import threading
import time
from pathlib import Path

import pytest

from rlm_agent.store.layout import prepare, publish


def test_all_that_make_a_home_at_once_agree_on_its_id(tmp_path: Path) -> None:
    for attempt in range(10):
        path, ids, start = tmp_path / str(attempt), [], threading.Barrier(8)
        threads = [threading.Thread(target=make_at_once, args=(path, ids, start)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids) == 8
        assert set(ids) == {prepare(path)}


def make_at_once(path: Path, ids: list[str], start: threading.Barrier) -> None:
    start.wait()
    ids.append(prepare(path))


def test_an_empty_directory_that_becomes_a_home_becomes_private_and_a_full_one_stays(tmp_path: Path) -> None:
    for name, content, mode in (("empty", None, 0o700), ("full", "x", 0o755)):
        path = tmp_path / name
        path.mkdir()
        path.chmod(0o755)
        if content:
            (path / "file").write_text(content)
        prepare(path)
        assert path.stat().st_mode & 0o777 == mode


def test_old_drafts_are_swept_and_new_ones_stay(tmp_path: Path) -> None:
    prepare(tmp_path)
    long_ago = time.time() - 3 * 24 * 3600
    for name in ("old", "new"):
        (tmp_path / "tmp" / name).mkdir()
        (tmp_path / "tmp" / name / "data").write_text("x")
        (tmp_path / "tmp" / f"{name}.file").write_text("x")
    for name in ("old", "old.file"):
        os.utime(tmp_path / "tmp" / name, (long_ago, long_ago))
    prepare(tmp_path)
    assert sorted(entry.name for entry in (tmp_path / "tmp").iterdir()) == ["new", "new.file"]


def test_a_file_that_cannot_be_published_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with pytest.raises(OSError, match="nowhere"):
        publish(b"x", tmp_path / "nowhere" / "file", tmp_path / "tmp")
    assert list((tmp_path / "tmp").iterdir()) == []
