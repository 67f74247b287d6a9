"""Removing runs: only while nobody works on them, and with the checkpoints that would bring them back.

Invariant: the leases of all the runs are held until they are gone; the rows go in one transaction, the checkpoints
before it, since a run without a checkpoint can be removed again, and a checkpoint without a run would stay. Rows are
`store/removal.py`'s.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from sqlite3 import Connection

from rlm_agent.errors import LeaseHeld
from rlm_agent.keys import place_of
from rlm_agent.store.fence import check_fence
from rlm_agent.store.home import Home
from rlm_agent.store.leases import Fence, forget_owner
from rlm_agent.store.records import RunRecord
from rlm_agent.store.removal import remove_op

__all__ = ["remove_runs"]


async def remove_runs(home: Home, runs: Sequence[RunRecord]) -> None:
    """Removes runs from a home, all or none.

    Raises:
        LeaseHeld: one of them is being worked on; the message names the owner.
    """
    async with AsyncExitStack() as stack:
        fences = [await _owned(home, run, stack) for run in {place_of(run): run for run in runs}.values()]
        await home.read(_forget_checkpoints, home, runs)
        remove = remove_op([run.id for run in runs])

        def op(connection: Connection) -> None:
            for fence in fences:
                check_fence(connection, fence)
                forget_owner(connection, fence.run)
            remove(connection)

        await home.commit(op)


async def _owned(home: Home, run: RunRecord, stack: AsyncExitStack) -> Fence:
    try:
        lease = await stack.enter_async_context(await home.leases.acquire(place_of(run), wait=0))
    except LeaseHeld as error:
        raise LeaseHeld(f"Thread {run.thread!r} is being worked on, so it is not removed. {error}") from error
    return lease.fence


def _forget_checkpoints(home: Home, runs: Sequence[RunRecord]) -> None:
    """Deletes the checkpoints of threads of which no run stays. LangGraph is only loaded where there are any."""
    ids = {run.id for run in runs}
    threads = {run.thread for run in runs if run.thread is not None}
    for thread in sorted(threads):
        if all(run.id in ids for run in home.runs.list(thread)) and (home.path / "checkpoints.db").exists():
            home.checkpointer.delete_thread(thread)
