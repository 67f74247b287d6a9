"""What the sandbox costs against `off`, in one run: medians of sessions and of cells, printed."""

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
async def test_the_sandbox_costs_little(capsys: pytest.CaptureFixture[str]) -> None:
    sessions: dict[str, list[float]] = {mode: [] for mode in KERNELS}
    cells: dict[str, list[float]] = {mode: [] for mode in KERNELS}
    warm = {mode: await ready(mode) for mode in KERNELS}
    # Both in turn, so that a busy moment of the machine falls on both.
    for _ in range(2000):
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
            print(f"\nsandbox {mode:9} session {of_session:7.2f} ms (2000)   cell {of_cell:6.3f} ms (2000)", end="")
    assert medians["required"][0] - medians["off"][0] <= 15
    assert medians["required"][1] - medians["off"][1] <= 0.3
