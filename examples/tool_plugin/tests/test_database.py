"""The tools at work: what they return, and that SQL of any kind neither writes nor leaves the file nor runs on."""

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rlm_sqlite import tools
from rlm_sqlite.database import Database, QueryFailed


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "가게.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, photo BLOB)")
        connection.execute("CREATE VIEW named AS SELECT name FROM customer WHERE name IS NOT NULL")
        rows = [(n, None if n == 3 else f"손님 {n}\t!", b"x" * n) for n in range(1, 8)]
        connection.executemany("INSERT INTO customer VALUES (?, ?, ?)", rows)
    connection.close()
    before = file.read_bytes()
    yield file
    assert file.read_bytes() == before


def called(shop: Path, name: str, **arguments: Any) -> Any:
    (tool,) = [tool for tool in tools({"path": str(shop), "rows": "5"}) if tool.name == name]
    return tool.invoke({"name": name, "args": arguments, "id": "1", "type": "tool_call"})


def test_tables_and_views_with_their_columns(shop: Path) -> None:
    text = called(shop, "sql_tables").content
    assert text == "customer(id INTEGER, name TEXT, photo BLOB)\nnamed(name TEXT)"


def test_rows_are_lines_and_their_source_is_named(shop: Path) -> None:
    message = called(shop, "sql_query", sql="SELECT id, name, photo FROM customer WHERE id IN (2, 3)")
    assert message.content == "id\tname\tphoto\n2\t손님 2 !\t<2 bytes>\n3\tNULL\t<3 bytes>"
    (source,) = message.artifact["sources"]
    assert source["path"] == str(shop)
    assert source["sha256"] == hashlib.sha256(message.content.encode()).hexdigest()


def test_more_rows_than_allowed_are_counted_out_loud(shop: Path) -> None:
    lines = called(shop, "sql_query", sql="SELECT id FROM customer").content.splitlines()
    assert lines[:-1] == ["id", "1", "2", "3", "4", "5"]
    assert "only the first 5" in lines[-1]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM customer",
        "UPDATE customer SET name = 'x'",
        "DROP TABLE customer",
        "CREATE TABLE other (x)",
        "CREATE TEMP TABLE other (x)",
        "INSERT INTO customer VALUES (99, 'x', NULL) RETURNING id",
        "ATTACH DATABASE '/etc/passwd' AS other",
        "ATTACH DATABASE 'file:new.db?mode=rwc' AS other",
        "VACUUM INTO 'copy.db'",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
        "SELECT load_extension('x')",
        "SELECT 1; DROP TABLE customer",
        "BEGIN EXCLUSIVE",
        "",
        "SELECT nonesuch FROM customer",
        "SELECT length(zeroblob(2000000000))",
    ],
)
def test_nothing_but_reading_is_possible(shop: Path, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = called(shop, "sql_query", sql=sql)
    assert message.status == "error", message.content
    assert [file.name for file in tmp_path.iterdir()] == [shop.name]


def test_a_query_without_end_is_ended(shop: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    started = time.monotonic()
    with pytest.raises(QueryFailed, match="not done within"):
        Database(str(shop), 5, 0.5).query(endless)
    assert time.monotonic() - started < 5


def test_a_long_result_is_cut(shop: Path) -> None:
    text = Database(str(shop), 5000, 5).query(
        "SELECT printf('%.400c', 'y') FROM customer, customer, customer b, customer c"
    )
    assert len(text) < 21_000
    assert "characters in all" in text
