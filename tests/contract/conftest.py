"""Repl: a session of any kernel, driven as the tests of the REPL need it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from rlm_agent.repl.kernel import Bindings, CellDone, CellEvent, Kernel, Session, Snapshot
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.settings import Limits

KERNELS: dict[str, Callable[[Limits], Kernel]] = {"process": ProcessKernel}


class Repl:
    """A started session. `lost` is what `start` said did not come back."""

    def __init__(self, make: Callable[..., Awaitable["Repl"]], session: Session) -> None:
        self._make = make
        self._session = session
        self.lost: tuple[Any, ...] = ()
        self.execute, self.answer, self.close = session.execute, session.answer, session.close

    @property
    def alive(self) -> bool:
        return self._session.alive

    async def start(self, snapshot: bytes | None, **bindings: Any) -> None:
        given = {"task": "질문: 무엇입니까?", **bindings}
        self.lost = await self._session.start(Bindings(**given), snapshot)

    async def snapshot(self) -> Snapshot:
        return await self._session.snapshot()

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
        return await self._make(taken.data, **{"fresh_answer": False, **bindings})


@pytest.fixture(params=KERNELS)
def kernel_class(request: pytest.FixtureRequest) -> Callable[[Limits], Kernel]:
    return KERNELS[request.param]


@pytest.fixture
async def make_repl(kernel_class: Callable[[Limits], Kernel]) -> AsyncIterator[Callable[..., Awaitable[Repl]]]:
    """`await make_repl(snapshot, limits=..., **bindings)`: all are closed at the end."""
    made: list[Repl] = []

    async def make(snapshot: bytes | None = None, *, limits: Limits | None = None, **bindings: Any) -> Repl:
        repl = Repl(make, await kernel_class(limits or Limits()).session())
        made.append(repl)
        await repl.start(snapshot, **bindings)
        return repl

    yield make
    for repl in made:
        await repl.close()


@pytest.fixture
async def repl(make_repl: Callable[..., Awaitable[Repl]]) -> Repl:
    return await make_repl()
