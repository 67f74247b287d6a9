"""What a run that is killed really asked for, and what it had on record: both read from outside of it."""

import json
import os
import sqlite3
from collections import Counter
from pathlib import Path

from rlm_agent.testing import read_calls

__all__ = ["asked", "note_call", "recorded"]


def note_call(logs: Path, kind: str, text: str) -> None:
    """Counts a call of a tool or function, for tests to read when its process is gone. A kill loses no line."""
    line = json.dumps({"kind": kind, "text": text}) + "\n"
    fd = os.open(logs / "calls.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def asked(logs: Path) -> Counter[str]:
    """How often each was asked so far: "root" and "sub" model calls, "tool", "function"."""
    counts = Counter(call.model for call in read_calls(logs / "models.jsonl", "start"))
    file = logs / "calls.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return counts + Counter(json.loads(line)["kind"] for line in lines)


def recorded(home: Path) -> Counter[str]:
    """How many of the same are in the home's ledger."""
    file = home / "home.db"
    if not file.exists():
        return Counter()
    connection = sqlite3.connect(file)
    try:
        calls = connection.execute("SELECT role, SUM(calls) FROM steps WHERE calls > 0 GROUP BY role").fetchall()
        kinds = connection.execute(
            "SELECT kind, COUNT(*) FROM steps WHERE kind IN ('tool', 'function') GROUP BY kind"
        ).fetchall()
    except sqlite3.OperationalError:  # killed before it had tables
        return Counter()
    finally:
        connection.close()
    return Counter(dict([*calls, *kinds]))
