"""What a worker is restored from, and what a person can do where that is broken.

Invariant: a run whose newest snapshot cannot be restored is not lost: the error names what is broken, the newest turn
that is whole, and the rebuild. Nothing is changed here.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rlm_agent.errors import SnapshotCorrupt, StateVersionError
from rlm_agent.repl.kernel import SnapshotSource
from rlm_agent.store import snapshots
from rlm_agent.store.home import Home
from rlm_agent.store.records import TurnRecord

__all__ = ["snapshot_after"]


@asynccontextmanager
async def snapshot_after(
    home: Home, thread: str | None, chain: Sequence[TurnRecord]
) -> AsyncIterator[SnapshotSource | None]:
    """The snapshot at the end of a chain of turns, while a session starts from it; None before the first.

    Raises:
        SnapshotCorrupt: a part of it is missing, damaged or forged.
        StateVersionError: it is of another Python.
    """
    try:
        yield await home.read(snapshots.source_of, home, chain[-1]) if chain else None
    except (SnapshotCorrupt, StateVersionError) as error:
        raise type(error)(f"{error} {await home.read(_way_out, home, thread, chain)}") from error


def _way_out(home: Home, thread: str | None, chain: Sequence[TurnRecord]) -> str:
    bad, failed = snapshots.broken(home, chain), chain[-1]
    # What is there to its last byte and does not load all the same is not made by cells that run again, either.
    whole = (turn.number for turn in reversed(chain) if turn.id not in bad and turn.snapshot != failed.snapshot)
    ways = [_fork(next(whole, None), thread), *([_rebuild(thread)] if failed.id in bad else [])]
    return " ".join(ways)


def _fork(whole: int | None, thread: str | None) -> str:
    if whole is None:
        return "No turn of the run is whole."
    command = f"rlm fork {thread or 'THREAD'} --turn {whole}"
    return f"Turn {whole} is the newest that is whole: `{command}` goes on from there."


def _rebuild(thread: str | None) -> str:
    return (
        f"`rlm resume {thread or 'THREAD'} --rebuild`, or invoke with the configurable rlm_rebuild=True, runs the "
        "recorded cells again and pays for nothing."
    )
