"""What the sandbox costs against `off`, in one run: medians of sessions and of cells, and what work in cells takes.

Medians are of 2 000 with `--exhaustive`, else of 300; bounds are the same.
"""

import statistics
import time

import pytest

from rlm_agent.repl.kernel import Bindings, CellDone, Session
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.settings import Limits

KERNELS = {mode: ProcessKernel(Limits(sandbox=mode)) for mode in ("off", "required")}


async def ready(mode: str) -> Session:
    session = await KERNELS[mode].session()
    await session.start(Bindings(task=""), None)
    return session


async def a_session(mode: str) -> float:
    """Seconds from nothing to the end of the first cell."""
    began = time.perf_counter()
    session = await ready(mode)
    assert isinstance(await session.execute("1"), CellDone)
    took = time.perf_counter() - began
    await session.close()
    return took


async def a_cell(session: Session) -> float:
    began = time.perf_counter()
    assert isinstance(await session.execute("x = 1"), CellDone)
    return time.perf_counter() - began


@pytest.mark.slow
async def test_the_sandbox_costs_little(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> None:
    rounds = 2000 if request.config.getoption("--exhaustive") else 300
    sessions: dict[str, list[float]] = {mode: [] for mode in KERNELS}
    cells: dict[str, list[float]] = {mode: [] for mode in KERNELS}
    warm = {mode: await ready(mode) for mode in KERNELS}
    # Both in turn, so that a busy moment of the machine falls on both.
    for _ in range(rounds):
        for mode, session in warm.items():
            cells[mode].append(await a_cell(session))
            sessions[mode].append(await a_session(mode))
    for session in warm.values():
        await session.close()
    medians = {
        mode: (statistics.median(sessions[mode]) * 1e3, statistics.median(cells[mode]) * 1e3) for mode in KERNELS
    }
    with capsys.disabled():
        for mode, (of_session, of_cell) in medians.items():
            print(
                f"\nsandbox {mode:9} session {of_session:7.2f} ms   cell {of_cell:6.3f} ms ({rounds} of each)", end=""
            )
    assert medians["required"][0] - medians["off"][0] <= 15
    assert medians["required"][1] - medians["off"][1] <= 0.3


FULL_SPEED = {"files": 1.5}
"""Opening a file is judged by Landlock. Whatever is not here may take 1.25 times as long as without a sandbox."""

WORK = {
    "numpy": "a = np.random.default_rng(1).random((700, 700)); float(np.linalg.svd(a, compute_uv=False)[0])",
    "scipy": "import scipy.fft\nfloat(abs(scipy.fft.fft(np.random.default_rng(1).random(2_000_000))).max())",
    "sympy": "import sympy\nx = sympy.Symbol('x'); sympy.core.cache.clear_cache(); len(((x + 1) ** 300).expand().args)",
    "sqlite3": """
import sqlite3
with sqlite3.connect('rows.db') as db:
    db.execute('CREATE TABLE IF NOT EXISTS t (a INTEGER, b TEXT)')
    db.executemany('INSERT INTO t VALUES (?, ?)', ((n, str(n)) for n in range(100_000)))
db.close(); import os; os.remove('rows.db')
""",
    "threads": """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    done = sum(pool.map(lambda n: len(np.sort(np.random.default_rng(n).random(100_000))), range(40)))
""",
    "asyncio": """
import asyncio
async def many():
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(20_000)))
asyncio.run(many())
""",
    "files": """
from pathlib import Path
for n in range(1000): Path(f'f{n}').write_text('x' * 2000)
for n in range(1000): Path(f'f{n}').read_text(); Path(f'f{n}').unlink()
""",
    "python": "sum(n * n % 7 for n in range(1_000_000))",
}


async def seconds_of(session: Session, code: str) -> float:
    event = await session.execute(f"import numpy as np\n{code}")
    assert isinstance(event, CellDone)
    assert event.error is None, event.error
    return event.seconds


@pytest.mark.slow
async def test_work_in_a_cell_runs_at_full_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """The fastest of seven of each, in turn, so that a busy moment of the machine falls on both."""
    warm = {mode: await ready(mode) for mode in KERNELS}
    ratios = {}
    for name, code in WORK.items():
        took: dict[str, list[float]] = {mode: [] for mode in KERNELS}
        for _ in range(7):
            for mode, session in warm.items():
                took[mode].append(await seconds_of(session, code))
        ratios[name] = min(took["required"]) / min(took["off"])
    for session in warm.values():
        await session.close()
    with capsys.disabled():
        print("\nseconds in the sandbox / without: " + ", ".join(f"{name} {r:.2f}" for name, r in ratios.items()))
    assert {name: ratio for name, ratio in ratios.items() if ratio > FULL_SPEED.get(name, 1.25)} == {}
