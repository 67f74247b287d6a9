"""Snapshots cost what changed: bytes written, milliseconds waited and the time to resume, beside plain cloudpickle."""

import asyncio
import statistics
import time
from pathlib import Path

import pytest

from rlm_agent import Home
from rlm_agent.repl.kernel import Bindings, CellDone, Session, SnapshotSource
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.store import snapshots

TURNS = 50
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
def naive():
    import cloudpickle, time, os
    began = time.monotonic()
    names = ("text", "array", "views", "records", "closures", "things", "count")
    data = cloudpickle.dumps({name: globals()[name] for name in names})
    with open("naive", "wb") as file:
        file.write(data); os.fsync(file.fileno())
    return len(data), round((time.monotonic() - began) * 1000)
"""
# What the cell of each turn changes: name -> (cell, bytes that it changes, most bytes that may be written).
CHANGES = {
    "nothing": ("pass", 0, 16_000),
    "one array element": ("array[{turn} * 200_003] = {turn}; count += 1", 8, 2_000_000),
    "one dict of 10 000": ("records[{turn} * 97]['score'] = {turn}.5", 8, 60_000),
    "a class and a closure": ("class Other{turn}(Child): pass\nnew{turn} = adder({turn})", 600, 60_000),
    "5 MB of new text": (
        "more{turn} = np.random.default_rng({turn}).bytes(5_000_000)",
        5_000_000,
        5_500_000,
    ),
    "5 MB of the array": ("array[:625_000] = np.random.default_rng({turn}).random(625_000)", 5_000_000, 5_500_000),
}
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
        lines = [f"{'turn 1: all of it':26} {'':>9} {probe.bytes[0]:>11,} {probe.waited[0]:>8.0f} ms"]
        turns = TURNS // len(CHANGES)
        for name, (code, changed, most) in CHANGES.items():
            start = len(probe.bytes)
            for turn in range(start, start + turns):
                await probe.turn(code.format(turn=turn))
            written, waited = statistics.median(probe.bytes[start:]), statistics.median(probe.waited[start:])
            lines.append(f"{name:26} {changed:>9,} {written:>11,.0f} {waited:>8.0f} ms")
            # The first turn of a kind may move a variable.
            assert max(probe.bytes[start + 1 :]) <= most, (name, probe.bytes[start:])
        naive = [(await probe.run("naive()")).strip("()\n").split(", ") for _ in range(3)]
        lines += [f"{'naive cloudpickle':26} {'':>9} {int(size):>11,} {ms:>8} ms" for size, ms in naive[-1:]]
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
        print(f"\n{'changed in a turn':26} {'bytes':>9} {'written':>11} {'waited':>11}", *lines, sep="\n")
        print(f"resume {resumed:.2f} s; a turn without change after it writes {again.bytes[0]:,} bytes")
