"""What every plugin must keep: the checks that langgraph-rlm ships."""

import sqlite3
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rlm_agent.testing import ToolPluginTests


class TestSqlite(ToolPluginTests):
    calls: ClassVar[Any] = {"sql_tables": {}, "sql_query": {"sql": "SELECT name FROM customer"}}
    failing_calls: ClassVar[Any] = {"sql_query": {"sql": "DROP TABLE customer"}}
    wrong_settings = (
        {},
        {"path": "/no/such/file.db"},
        {"path": __file__},
        {"path": "x.db", "rows": "many"},
        {"path": "x.db", "colour": "red"},
    )

    @pytest.fixture(autouse=True)
    def _shop(self, tmp_path: Path) -> None:
        file = tmp_path / "shop, 가게.db"
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE customer (name TEXT)")
        self.plugin: Any = f"sqlite:path={file}".replace(",", ",,")
