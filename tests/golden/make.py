"""Writes a golden run: `python tests/golden/make.py` makes `<version>-python<minor>.zip` beside this file.

A golden run is the home of an unfinished run, as this version writes it. Every later version must read it and go on
with it, so a file that is here is never written anew. The run fails at the root's last reply, for want of one.
"""

import contextlib
import sqlite3
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from rlm_agent import Home, ModelError, create_rlm_agent
from rlm_agent.cli.version import own_version
from rlm_agent.testing import ScriptedModel

HERE = Path(__file__).parent
THREAD: Any = {"configurable": {"thread_id": "골든"}}
QUESTION: Any = {"messages": [("user", "무엇이 남아 있습니까?")], "context": {"가": "가나다", "notes.txt": "b" * 2000}}
CELLS = [
    """
import collections, dataclasses, datetime, decimal, enum, functools, random, re
numbers = {"one": 1, "list": [1, 2.5, None, "셋"]}
numbers["self"] = numbers
grid = np.arange(12.0).reshape(3, 4)
row, big = grid[1], np.arange(40_000)
Pair = collections.namedtuple("Pair", "left right")
@dataclasses.dataclass
class Point:
    x: int
    y: int = 2
    def total(self):
        return self.x + self.y + offset
offset = 10
class Colour(enum.Enum):
    RED = 1
def counter():
    n = 0
    def step(by=1):
        nonlocal n
        n += by
        return n
    return step
count = counter()
count()
""",
    """
found = llm_batch([f"look at {name}" for name in context])
looked = look("골든", times=2)
point, pair, colour = Point(1), Pair(numbers, grid), Colour.RED
expression = sympy.Symbol("x") ** 2 + 1
when, price, pattern = datetime.datetime(2026, 1, 2), decimal.Decimal("1.10"), re.compile("a+")
picked = random.random()
""",
    "row[0] = 7\ncount(5)\nlines = (n for n in range(3))\n1 / 0",
    'answer["content"] = "half"\nprint(len(found), "found")',
]
LAST = """
def described():
    return [numbers["self"] is numbers, numbers["list"], float(grid[1, 0]), row.base is not None, int(big.sum()),
            pair.right is grid, point.total(), colour is Colour.RED, count(), str(expression), when.isoformat(),
            str(price), pattern.pattern, [str(reply) for reply in found], looked, round(picked, 12), repr(lines),
            [len(entry["code"]) > 0 for entry in history], sorted(context)]
answer["content"] = described()
answer["ready"] = True
"""
LOOKS: list[str] = []


def look(what: str, times: int) -> list[Any]:
    """A host function that is paid for."""
    LOOKS.append(what)
    return [what] * times


def fenced(code: str) -> str:
    return f"```python\n{code.strip()}\n```"


def build(home: Home, replies: Any, sub: Any) -> Any:
    """The agent that a golden run is a run of."""
    return create_rlm_agent(
        ScriptedModel(replies=replies), sub_model=ScriptedModel(replies=sub), repl_functions=[look], home=home,
        checkpointer=home.checkpointer,
    )  # fmt: skip


def make(target: Path) -> None:
    """Runs all but the last turn, and packs the home."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "home"
        with Home(path) as home:
            replies = [*map(fenced, CELLS), ConnectionError("the provider is down")]
            with contextlib.suppress(ModelError):
                build(home, replies, lambda messages: f"re {messages[-1].content}").invoke(QUESTION, THREAD)
        _forget_machine(path / "home.db")
        files = [path.with_name("home.key"), *sorted(file for file in path.rglob("*") if file.is_file())]
        with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(directory))


def _forget_machine(database: Path) -> None:
    """Removes the name of the machine that it was made on."""
    connection = sqlite3.connect(database)
    connection.execute("DELETE FROM leases")
    connection.commit()
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


if __name__ == "__main__":
    make(HERE / f"{own_version()}-python{sys.version_info.major}.{sys.version_info.minor}.zip")
