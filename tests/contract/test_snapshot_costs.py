"""Each turn's record says what its snapshot cost, and the home grows by no more than that."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Home, create_rlm_agent
from rlm_agent.testing import ScriptedModel
from rlm_agent.turns import end as turn_end

FIRST = "```python\narray = np.random.default_rng(0).random(1_000_000)\n```"
CHANGE = "```python\narray[{turn}] = 0\n```"
LAST = '```python\nanswer["content"] = float(array[:3].sum())\nanswer["ready"] = True\n```'


def blob_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path / "blobs").rglob("*") if file.is_file())


async def test_the_record_tells_bytes_and_milliseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_end, "PATIENCE", 60.0)  # no turn is pending when the root is asked, on a slow machine too
    sizes: list[int] = []

    def root(messages: list[Any]) -> str:
        sizes.append(blob_bytes(tmp_path / "home"))
        replies = [FIRST, *(CHANGE.format(turn=turn) for turn in range(3)), LAST]
        return replies[len(sizes) - 1]

    with Home(tmp_path / "home") as home:
        agent = create_rlm_agent(ScriptedModel(replies=root), home=home)
        out = await agent.ainvoke({"messages": [("user", "질문")]})
        turns = home.turns.list(home.runs.list()[0].id)
    assert out["rlm"]["content"] == 0.0
    costs = [turn.costs for turn in turns]
    assert [cost["snapshot_bytes"] // 1_000_000 for cost in costs] == [8, 1, 1, 1, 0]
    assert all(0 < cost["snapshot_ms"] < 30_000 for cost in costs)
    grown = [after - before for before, after in pairwise(sizes)]
    assert all(growth <= cost["snapshot_bytes"] for growth, cost in zip(grown, costs, strict=False))
