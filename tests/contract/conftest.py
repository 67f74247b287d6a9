"""Repl: a session of any kernel, driven as the tests of the REPL need it."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from command_line import rlm  # noqa: F401  # a fixture

from rlm_agent.repl.bwrap import BwrapKernel
from rlm_agent.repl.kernel import Bindings, CellDone, CellEvent, Kernel, Session, Snapshot, SnapshotSource
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.settings import Limits

KERNELS: dict[str, Callable[[Limits], Kernel]] = {"process": ProcessKernel, "bwrap": BwrapKernel}


class Repl:
    """A started session. `lost` is what `start` said did not come back; `leaves` are all that any session gave."""

    def __init__(self, make: Callable[..., Awaitable["Repl"]], session: Session, leaves: dict[str, bytes]) -> None:
        self._make = make
        self._session = session
        self.leaves = leaves
        self.lost: tuple[Any, ...] = ()
        self.execute, self.answer, self.close = session.execute, session.answer, session.close
        self.interrupt = session.interrupt

    @property
    def alive(self) -> bool:
        return self._session.alive

    async def start(self, snapshot: Snapshot | None, **bindings: Any) -> None:
        given = {"task": "질문: 무엇입니까?", **bindings}
        source = SnapshotSource(snapshot.manifest, self.leaves.__getitem__) if snapshot else None
        self.lost = await self._session.start(Bindings(**given), source)

    async def snapshot(self) -> Snapshot:
        taken = await self._session.snapshot()
        self.leaves |= taken.new
        return taken

    async def done(self, code: str, **options: Any) -> CellDone:
        event: CellEvent = await self._session.execute(code, **options)
        assert isinstance(event, CellDone), event
        return event

    async def shown(self, code: str) -> str:
        """Output of a cell that must not fail."""
        event = await self.done(code)
        assert event.error is None, event.error
        return event.output

    async def failed(self, code: str) -> str:
        """Error of a cell that must fail."""
        event = await self.done(code)
        assert event.error_kind == "exception", event
        assert event.error is not None
        return event.error

    async def restored(self, **bindings: Any) -> "Repl":
        """The same namespace in a new session, this one closed."""
        taken = await self.snapshot()
        await self.close()
        return await self._make(taken, **{"fresh_answer": False, **bindings})


@pytest.fixture(params=["process", pytest.param("bwrap", marks=pytest.mark.slow)])
def kernel_class(request: pytest.FixtureRequest) -> Callable[[Limits], Kernel]:
    if request.param == "bwrap" and shutil.which("bwrap") is None:
        pytest.skip("bwrap: install the package bubblewrap")
    return KERNELS[request.param]


@pytest.fixture
async def make_repl(kernel_class: Callable[[Limits], Kernel]) -> AsyncIterator[Callable[..., Awaitable[Repl]]]:
    """`await make_repl(snapshot, limits=..., **bindings)`: all are closed at the end."""
    made: list[Repl] = []
    leaves: dict[str, bytes] = {}

    async def make(snapshot: Snapshot | None = None, *, limits: Limits | None = None, **bindings: Any) -> Repl:
        repl = Repl(make, await kernel_class(limits or Limits()).session(), leaves)
        made.append(repl)
        await repl.start(snapshot, **bindings)
        return repl

    yield make
    for repl in made:
        await repl.close()


@pytest.fixture
async def repl(make_repl: Callable[..., Awaitable[Repl]]) -> Repl:
    return await make_repl()
