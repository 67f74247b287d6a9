"""Migrations: an older file is brought up to date, a newer one refused."""

import sqlite3
from pathlib import Path

import pytest

from rlm_agent.errors import StateVersionError
from rlm_agent.store import schema
from rlm_agent.store.home import Home


def test_a_further_migration_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Home(tmp_path / "h") as home:
        key = home.blobs.put_sync(b"kept")
    further = (*schema.MIGRATIONS, lambda c: c.execute("CREATE TABLE more (x)"))
    monkeypatch.setattr(schema, "MIGRATIONS", further)
    with Home(tmp_path / "h") as home:
        assert home.blobs.get(key) == b"kept"
        assert home.write(lambda c: c.execute("SELECT COUNT(*) FROM more").fetchone()).result(5) == (0,)
        assert home.write(lambda c: c.execute("SELECT value FROM meta").fetchone()).result(5) == (len(further),)


def test_a_failing_migration_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (x)")
        raise RuntimeError("cannot migrate")

    with Home(tmp_path / "h"):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, fail))
        with pytest.raises(RuntimeError):
            Home(tmp_path / "h").open()
    with Home(tmp_path / "h") as home:
        tables = home.write(lambda c: c.execute("SELECT name FROM sqlite_master").fetchall()).result(5)
    assert ("half",) not in tables


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:
        home.write(lambda c: c.execute("UPDATE meta SET value = 99").rowcount).result(5)
    with pytest.raises(StateVersionError, match=r"home\.db has schema version 99.*upgrade"):
        Home(tmp_path / "h").open()
