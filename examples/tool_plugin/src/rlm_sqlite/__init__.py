"""Read-only SQL over one SQLite file, as tools for sub-agents.

Owns: the two tools and their settings. Invariant: whatever the SQL is, nothing is written, no other file is opened, and
a query ends within its bounds. What a model writes is hostile: see `database.py`.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rlm_sqlite.database import Database, QueryFailed

__all__ = ["tools"]


def tools(settings: Mapping[str, str]) -> Iterable[BaseTool]:
    """The plugin: settings are path, rows and seconds.

    Raises:
        ValueError: a setting is missing, unknown or out of range.
    """
    database = _database(settings)

    def sql_tables() -> tuple[str, dict[str, Any]]:
        """Lists the tables and views of the database, each with its columns and their types."""
        return _result(database, "its schema", database.tables())

    def sql_query(sql: str) -> tuple[str, dict[str, Any]]:
        """Runs one SELECT in SQLite's SQL and returns the rows as tab-separated lines under a line of column names."""
        return _result(database, sql, database.query(sql))

    return [_tool(sql_tables), _tool(sql_query)]


def _database(settings: Mapping[str, str]) -> Database:
    unknown = set(settings) - {"path", "rows", "seconds"}
    if unknown or not settings.get("path"):
        problem = f"no setting is named {min(unknown)!r}" if unknown else "the path is missing"
        raise ValueError(f"{problem}: write sqlite:path=FILE, and if need be rows=N and seconds=N")
    rows, seconds = settings.get("rows", "100"), settings.get("seconds", "10")
    if not rows.isdecimal() or not seconds.isdecimal() or not 0 < int(rows) <= 10_000 or not 0 < int(seconds) <= 600:
        raise ValueError(f"rows={rows}, seconds={seconds}: give whole numbers, rows up to 10000 and seconds up to 600")
    return Database(settings["path"], int(rows), int(seconds))


def _tool(function: Any) -> BaseTool:
    def guarded(**arguments: Any) -> Any:
        try:
            return function(**arguments)
        except QueryFailed as error:
            raise ToolException(str(error)) from error

    return StructuredTool.from_function(
        guarded,
        name=function.__name__,
        description=function.__doc__,
        args_schema=StructuredTool.from_function(function).args_schema,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _result(database: Database, title: str, text: str) -> tuple[str, dict[str, Any]]:
    source = {"path": database.path, "title": title[:200], "sha256": sha256(text.encode()).hexdigest()}
    return text, {"sources": [source]}
