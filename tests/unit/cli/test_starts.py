"""How a thread was started, kept in the home."""

from pathlib import Path

import pytest

from rlm_agent.cli.starts import Start, load_start, save_start
from rlm_agent.errors import HomeError, StateVersionError
from rlm_agent.settings import Budget
from rlm_agent.store.home import Home


def test_a_start_comes_back_as_it_was(tmp_path: Path) -> None:
    start = Start(
        "../스레드/1", "openai:gpt-5", None, Budget(usd=2.5, turns=None), ("f:roots=./문서",), ("draft",), "/곳", True
    )
    with Home(tmp_path / "h") as home:
        assert load_start(home, start.thread) is None
        save_start(home, Start(start.thread, "offline", "offline", Budget()))
        save_start(home, start)
        assert load_start(home, start.thread) == start
        assert load_start(home, "another") is None
        (file,) = (home.path / "cli").iterdir()
        assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
        assert list((home.path / "tmp").iterdir()) == []


def test_a_damaged_or_newer_record_says_what_to_do(tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:
        save_start(home, Start("t", "offline", None, Budget()))
        (file,) = (home.path / "cli").iterdir()
        newer = file.read_text().replace('"version": 1', '"version": 99')
        for damage in (
            "{",
            "[]",
            '{"version": 1}',
            '{"version": 1, "model": "x", "sub_model": null, "budget": {"usd": -1}}',
            '{"version": 1, "model": "x", "sub_model": null, "budget": {}, "tools": "web"}',
        ):
            file.write_text(damage)
            with pytest.raises(HomeError, match="--model"):
                load_start(home, "t")
        file.write_text(newer)
        with pytest.raises(StateVersionError):
            load_start(home, "t")
