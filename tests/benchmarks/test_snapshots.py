"""Snapshots cost what changed: bytes written, milliseconds waited, time to resume; cloudpickle and dill beside."""

import asyncio
import statistics
import time
from pathlib import Path

import pytest

from rlm_agent import Home
from rlm_agent.repl.kernel import Bindings, CellDone, Session, SnapshotSource
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.store import snapshots

TASK = Bindings(task="", fresh_answer=False)
MAKE = """
text = "".join(map(chr, np.random.default_rng(1).integers(32, 127, 1_000_000))) * 100
array = np.random.default_rng(0).random(100_000_000 // 8)
views = [array[start::7] for start in range(7)] + [array[:1000].reshape(10, 100)]
records = [{"id": i, "name": f"name {i}", "tags": [i, str(i)], "score": i / 3} for i in range(10_000)]
def adder(n):
    def step(x): return x + n
    return step
closures = [adder(i) for i in range(500)]
class Base:
    def __init__(self, x): self.x = x
    def twice(self): return self.x * 2
class Child(Base):
    def twice(self): return super().twice() + 1
things = [Child(i) for i in range(200)]
count = 0
blob = bytes(10_000_000)
def naive(package):
    import importlib, time, os
    began = time.monotonic()
    names = ("text", "array", "views", "records", "closures", "things", "count", "blob")
    dumps = importlib.import_module(package).dumps
    data = dumps({name: globals()[name] for name in names})
    with open("naive", "wb") as file:
        file.write(data); os.fsync(file.fileno())
    # It is no part of the namespace, nor of the files that a snapshot takes.
    os.remove("naive")
    return len(data), round((time.monotonic() - began) * 1000)
"""
MB = 1_000_000
# What the cell of each turn changes: name -> (turns, cell, bytes that it changes, most bytes that may be written).
CHANGES = {
    "nothing": (5, "pass", 0, 16_000),
    "one array element": (10, "array[{turn} * 200_003] = {turn}; count += 1", 8, 2 * MB),
    "one dict of 10 000": (6, "records[{turn} * 97]['score'] = {turn}.5", 8, 60_000),
    "a class and a closure": (6, "class Other{turn}(Child): pass\nnew{turn} = adder({turn})", 600, 60_000),
    # Bytes that no compression makes fewer, so that what is written can be held against them.
    "10 MB of bytes": (10, "blob = np.random.default_rng({turn}).bytes(10_000_000)", 10 * MB, 11 * MB),
    "10 MB of the array": (6, "array[:1_250_000] = np.random.default_rng({turn}).random(1_250_000)", 10 * MB, 11 * MB),
    "10 MB in a file": (
        6,
        "open('file', 'wb').write(np.random.default_rng(-{turn} % 2**32).bytes(10_000_000))",
        10 * MB,
        11 * MB,
    ),
}
TURNS = 1 + sum(turns for turns, *_ in CHANGES.values())
SAME = "views[0].base is array, text[:5], len(records), closures[3](1), things[3].twice(), float(array.sum()), count"


class Probe:
    """A session whose turns are saved in a home and measured."""

    def __init__(self, home: Home, session: Session) -> None:
        self.home, self.session = home, session
        self.key = ""
        self.bytes: list[int] = []
        self.waited: list[float] = []

    async def run(self, code: str) -> str:
        event = await self.session.execute(code)
        assert isinstance(event, CellDone)
        assert event.error is None, event.error
        return event.output

    async def turn(self, code: str) -> None:
        await self.run(code)
        began = time.monotonic()
        taken = await self.session.snapshot()
        self.key = await snapshots.save(self.home, taken)
        self.waited.append((time.monotonic() - began) * 1000)
        self.bytes.append(taken.size)
        assert taken.lost == ()


async def _started(source: SnapshotSource | None) -> Session:
    session = await ProcessKernel().session()
    await session.start(TASK, source)
    return session


@pytest.mark.slow
async def test_cost_follows_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Home(tmp_path / "bench") as home:
        probe = Probe(home, await _started(None))
        await probe.turn(MAKE)
        lines = [f"{'turn 1: all of it':26} {'':>10} {probe.bytes[0]:>11,} {probe.waited[0]:>8.0f} ms"]
        written = changed_in_all = 0
        for name, (turns, code, changed, most) in CHANGES.items():
            start = len(probe.bytes)
            for turn in range(start, start + turns):
                await probe.turn(code.format(turn=turn))
            own, waited = probe.bytes[start:], probe.waited[start:]
            lines.append(
                f"{name:26} {changed:>10,} {statistics.median(own):>11,.0f} {statistics.median(waited):>8.0f} ms"
            )
            # The first turn of a kind may move a variable.
            assert max(own[1:]) <= most, (name, own)
            if changed >= MB:
                written, changed_in_all = written + sum(own), changed_in_all + turns * changed
        lines.append(
            f"{len(probe.bytes)} turns; written for each byte of those that change MB: {written / changed_in_all:.4f}"
        )
        assert len(probe.bytes) == TURNS == 50
        assert written <= 1.1 * changed_in_all
        for package in ("cloudpickle", "dill"):
            naive = [(await probe.run(f"naive({package!r})")).strip("()\n").split(", ") for _ in range(2)]
            lines.append(f"{'naive ' + package:26} {'':>10} {int(naive[-1][0]):>11,} {naive[-1][1]:>8} ms")
        expected = await probe.run(SAME)
        await probe.session.close()
        source = await asyncio.to_thread(snapshots.source, home, probe.key)
        began = time.monotonic()
        again = Probe(home, await _started(source))
        resumed = time.monotonic() - began
        assert await again.run(SAME) == expected
        await again.turn("pass")
        assert again.bytes[0] < 60_000
        await again.session.close()
    with capsys.disabled():
        print(f"\n{'changed in a turn':26} {'bytes':>10} {'written':>11} {'waited':>11}", *lines, sep="\n")
        print(f"resume {resumed:.2f} s; a turn without change after it writes {again.bytes[0]:,} bytes")
