"""With 5 KB printed a turn only the namespace grows: not the prompt, checkpoint row, state, or bytes written a turn."""

from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Budget, Home, Limits, create_rlm_agent
from rlm_agent.testing import ScriptedModel

CELL = "```python\nprint('x' * 5000)\n```"
LAST = '```python\nanswer["content"] = "done"\nanswer["ready"] = True\n```'


def tree_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class Probe:
    """Measures at each root call: the prompt's size, and the home's bytes so far."""

    def __init__(self, home: Home, turns: int) -> None:
        self.home, self.turns = home, turns
        self.prompts: list[int] = []
        self.bytes: list[int] = []

    def root(self, messages: list[Any]) -> str:
        self.prompts.append(sum(len(message.content) for message in messages))
        self.bytes.append(tree_bytes(self.home.path / "blobs") + self._rows())
        return CELL if len(self.prompts) <= self.turns else LAST

    def _rows(self) -> int:
        def size(connection: Any) -> int:
            tables = {"turns": "body", "steps": "body", "blobs": "data"}
            return sum(
                connection.execute(f"SELECT TOTAL(LENGTH({c})) FROM {t}").fetchone()[0] for t, c in tables.items()
            )

        return int(self.home.write(size).result())


def run(path: Path, turns: int) -> tuple[Probe, int, int]:
    with Home(path) as home:
        probe = Probe(home, turns)
        limits = Limits(window_tokens=8000)
        budget = Budget(turns=turns + 1)
        saver = home.checkpointer
        model = ScriptedModel(replies=probe.root)
        agent = create_rlm_agent(model, home=home, checkpointer=saver, limits=limits, budget=budget)
        config: Any = {"configurable": {"thread_id": "growth"}}
        agent.invoke({"messages": [("user", "go")]}, config, durability="exit")
        saved = saver.get_tuple(config)
        row = len(saver.serde.dumps_typed(saved.checkpoint)[1])
        state = len(saver.serde.dumps_typed(agent.get_state(config).values)[1])
    return probe, row, state


@pytest.mark.exhaustive
def test_growth_a_turn_is_constant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe, _, _ = run(tmp_path / "long", 1000)
    marks = (20, 200, 1000)
    rates = {turn: (probe.bytes[turn] - probe.bytes[turn - 10]) / 10 for turn in marks}
    with capsys.disabled():
        print(f"\n{'after turns':24}" + "".join(f"{turn:>12}" for turn in marks))
        print(f"{'home, bytes':24}" + "".join(f"{probe.bytes[turn]:>12}" for turn in marks))
        print(f"{'home, bytes a turn':24}" + "".join(f"{rates[turn]:>12.0f}" for turn in marks))
        print(f"{'home.db, bytes':24}{(tmp_path / 'long' / 'home.db').stat().st_size:>36}")
    assert abs(rates[1000] - rates[200]) <= rates[200] * 0.02


@pytest.mark.slow
def test_nothing_grows_but_the_namespace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few, row_few, state_few = run(tmp_path / "few", 20)
    many, row_many, state_many = run(tmp_path / "many", 200)
    rate_few = (few.bytes[-1] - few.bytes[10]) / (len(few.bytes) - 11)
    rate_many = (many.bytes[-1] - many.bytes[190]) / (len(many.bytes) - 191)
    with capsys.disabled():
        print(f"\n{'':24}{'turn 20':>12}{'turn 200':>12}")
        print(f"{'prompt, characters':24}{few.prompts[-1]:>12}{many.prompts[-1]:>12}")
        print(f"{'checkpoint row, bytes':24}{row_few:>12}{row_many:>12}")
        print(f"{'state, bytes':24}{state_few:>12}{state_many:>12}")
        print(f"{'home, bytes a turn':24}{rate_few:>12.0f}{rate_many:>12.0f}")
    assert max(many.prompts) <= 8000 * 4
    assert row_many <= row_few * 1.1
    assert state_many <= state_few * 1.1
    assert rate_many <= rate_few * 1.1
