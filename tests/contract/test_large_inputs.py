"""Inputs that no model can read: they load, are sliced in the REPL, and enter neither a prompt nor a checkpoint."""

from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Corpus, Home, create_rlm_agent
from rlm_agent.testing import ScriptedModel

NEEDLE = "여기 바늘이 있다"


class Bench:
    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.largest = 0

    def ask(self, cell: str, context: Any) -> Any:
        def root(messages: list[Any]) -> str:
            self.largest = max(self.largest, sum(len(m.content) for m in messages))
            return f'```python\n{cell}\nanswer["ready"] = True\n```'

        agent = create_rlm_agent(ScriptedModel(replies=root), home=self.home, checkpointer=self.home.checkpointer)
        given = {"messages": [("user", "find it")], "context": context}
        return agent.invoke(given, {"configurable": {"thread_id": "t"}})["rlm"]["content"]

    def small(self) -> None:
        """Nothing of the input is where it must not be."""
        assert self.largest < 30_000
        checkpoints = sum(f.stat().st_size for f in self.home.path.glob("checkpoints.db*"))
        assert checkpoints < 500_000
        blobs = sum(f.stat().st_size for f in (self.home.path / "blobs").rglob("*") if f.is_file())
        assert blobs < 500_000


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path / "bench")
    yield made
    made.home.close()


def test_a_text_of_100_mb(bench: Bench) -> None:
    line = "a line of text that says nothing at all, over and over again.\n"
    text = line * (50_000_000 // len(line))
    handle = Corpus.load(text + NEEDLE + "\n" + text, home=bench.home)
    assert handle["bytes"] > 99_000_000
    cell = f'i = context.find({NEEDLE!r})\nanswer["content"] = [len(context), context[i:i + 9], type(context).__name__]'
    size, found, kind = bench.ask(cell, handle)
    assert size == 2 * len(text) + len(NEEDLE) + 1
    assert (found, kind) == (NEEDLE, "str")
    bench.small()


def test_a_directory_of_2000_files(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    for i in range(2000):
        file = folder / f"d{i % 20}" / f"f{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"file number {i}\n" + (NEEDLE if i == 1234 else ""))
    handle = Corpus.load(folder, home=bench.home)
    cell = f'answer["content"] = [len(context), [p for p, t in context.items() if {NEEDLE!r} in t]]'
    count, found = bench.ask(cell, handle)
    assert count == 2000
    assert found == ["d14/f1234.txt"]
    bench.small()


def test_small_raw_values_are_real_python_values(bench: Bench) -> None:
    cell = 'answer["content"] = [type(context).__name__, context[1]["a"]]'
    assert bench.ask(cell, [1, {"a": "한국어"}]) == ["list", "한국어"]
