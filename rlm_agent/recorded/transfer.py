"""Carrying a run from one home to another: `rlm export` and `rlm import`.

Invariant: who imports owns the thread while it does, so that nobody begins a run on it and nothing that was just put is
swept. What is in an archive, and how it is checked, is `store/bundle.py`'s, `store/outgoing.py`'s and
`store/incoming.py`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_agent.keys import place_of
from rlm_agent.store.bundle import Bundle, opened
from rlm_agent.store.home import Home
from rlm_agent.store.incoming import Incoming
from rlm_agent.store.outgoing import export_run
from rlm_agent.store.records import RunRecord

__all__ = ["Imported", "export_run", "import_run"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in: the run, and how the command line had started its thread, unchecked, or None."""

    run: RunRecord
    start: Mapping[str, Any] | None


async def import_run(home: Home, file: Path, thread: str | None = None) -> Imported:
    """Takes a run out of an archive into a home. All or nothing.

    The caller vouches for the archive: its snapshots are code that workers of this home will run.

    Args:
        home: where it is to be.
        file: the archive.
        thread: the thread that it is to have; None: the one that it had.

    Raises:
        ConfigError: the archive is damaged, or the run or its thread is here already; the message says which.
        SnapshotCorrupt: something in it is not what its digest says.
        StateVersionError: a newer version wrote it.
        LeaseHeld: somebody works on that thread.
    """
    with opened(file) as bundle:
        incoming = await home.read(Incoming, home, bundle, thread)
        key = await home.read(home.signatures.signer.key)
        async with await home.leases.acquire(place_of(incoming.run), wait=0) as lease:
            await home.read(incoming.store)
            await home.commit(incoming.op(key), fence=lease.fence)
        return Imported(incoming.run, _start(bundle))


def _start(bundle: Bundle) -> Mapping[str, Any] | None:
    start = bundle.manifest.get("start")
    return start if isinstance(start, dict) else None
