"""Whatever values share and hold each other: saved and restored in a new process, they do so still."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from object_graphs import DESCRIBE, PREAMBLE, graph_source

from rlm_agent.repl.kernel import Bindings, CellDone, Session, SnapshotSource
from rlm_agent.repl.process import ProcessKernel

GRAPHS = st.tuples(st.integers(1, 40), st.integers(0, 2**32))


async def shown(session: Session, code: str) -> str:
    event = await session.execute(code)
    assert isinstance(event, CellDone)
    assert event.error is None, event.error
    return event.output


async def started(source: SnapshotSource | None) -> Session:
    session = await ProcessKernel().session()
    lost = await session.start(Bindings(task="", fresh_answer=False), source)
    assert lost == ()
    return session


async def check(graphs: list[tuple[int, int]]) -> None:
    """Makes one graph after the other in a session, and after each compares with what a new process restores."""
    first = await started(None)
    leaves: dict[str, bytes] = {}
    try:
        await shown(first, PREAMBLE + DESCRIBE)
        for size, seed in graphs:
            code, names = graph_source(size, seed)
            await shown(first, code)
            taken = await first.snapshot()
            assert taken.lost == (), code
            leaves |= taken.new
            describe = f"print(describe({names!r}))"
            expected = await shown(first, describe)
            second = await started(SnapshotSource(taken.manifest, leaves.__getitem__))
            try:
                assert await shown(second, describe) == expected, code
            finally:
                await second.close()
    finally:
        await first.close()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs=st.lists(GRAPHS, min_size=1, max_size=2))
def test_graphs_come_back_as_they_were(graphs: list[tuple[int, int]]) -> None:
    asyncio.run(check(graphs))


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs=st.lists(GRAPHS, min_size=1, max_size=4))
def test_many_graphs_come_back_as_they_were(graphs: list[tuple[int, int]]) -> None:
    asyncio.run(check(graphs))


def test_a_description_tells_equal_from_same() -> None:
    """What the tests above rely on."""

    async def described(code: str) -> str:
        session = await started(None)
        try:
            await shown(session, PREAMBLE + DESCRIBE + code)
            return await shown(session, "print(describe(['a', 'b']))")
        finally:
            await session.close()

    async def all_of(*codes: str) -> list[str]:
        return [await described(code) for code in codes]

    same, equal, view, copy, cells, parted = asyncio.run(
        all_of(
            "a = [[1]]; b = [a[0]]",
            "a = [[1]]; b = [[1]]",
            "a = np.arange(5); b = a[1:]",
            "a = np.arange(5); b = a[1:].copy()",
            "a, b = sharing(1)",
            "a, b = sharing(1)[0], sharing(1)[1]",
        )
    )
    assert same != equal
    assert view != copy
    assert cells != parted
