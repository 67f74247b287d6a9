"""Snapshots in the home: a manifest and its leaves, each a blob of its own.

Invariant: a manifest is stored after all leaves that it names, so a key that `save` returned stands for a whole
snapshot. What is in a leaf or in a manifest's body is not known here.
"""

import asyncio
import sys
from collections.abc import Sequence

from rlm_agent.crash_points import reach
from rlm_agent.errors import HomeError, SnapshotCorrupt, StateVersionError
from rlm_agent.repl.kernel import Snapshot, SnapshotSource
from rlm_agent.repl.manifest import Manifest, ManifestError, check_python
from rlm_agent.store.home import Home
from rlm_agent.store.records import TurnRecord

__all__ = ["broken", "keys_of", "save", "source", "source_of"]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


async def save(home: Home, snapshot: Snapshot) -> str:
    """Stores a snapshot and returns its key once all of it is on disk. What is there already is not written again.

    Raises:
        HomeError: a leaf that an earlier snapshot of the session brought is gone.
    """
    keys = set(keys_of(snapshot.manifest)) - snapshot.new.keys()
    missing = await home.read(home.blobs.missing, sorted(keys))
    if missing:
        raise HomeError(
            f"{len(missing)} of the snapshot's blobs are gone from the home, {missing[0]} for one: was it cleaned up "
            "while the run went on? Resume the run: it goes on from the turn before."
        )
    # Small ones share one commit, large ones the home's threads.
    await asyncio.gather(*(_put_leaf(home, leaf) for leaf in snapshot.new.values()))
    reach("snapshot.leaves")
    key = await home.blobs.put(snapshot.manifest)
    reach("snapshot.written")
    return key


async def _put_leaf(home: Home, leaf: bytes) -> None:
    await home.blobs.put(leaf)
    reach("snapshot.leaf")


def source(home: Home, key: str) -> SnapshotSource:
    """A stored snapshot, for a session to start from. Its leaves are read and checked one by one. Blocks.

    Raises:
        SnapshotCorrupt: the manifest is missing or damaged.
    """
    manifest = home.blobs.get(key)
    keys_of(manifest)
    return SnapshotSource(manifest, home.blobs.get)


def source_of(home: Home, turn: TurnRecord) -> SnapshotSource | None:
    """The snapshot of a turn, for a session to start from; None where the turn has none. Blocks.

    Raises:
        SnapshotCorrupt: it is missing or damaged, or not what this home signed.
        StateVersionError: it is of another Python, whose byte code must not be loaded here.
    """
    key = home.signatures.snapshot_of(turn)
    if key is None:
        return None
    found = source(home, key)
    check_python(Manifest.decode(found.manifest), PYTHON)
    return found


def broken(home: Home, chain: Sequence[TurnRecord]) -> dict[str, str]:
    """Those of the turns whose snapshot cannot be restored here, by id, and why. Reads all that they need. Blocks."""
    whole: set[str] = set()
    found = ((turn, _problem(home, turn, whole)) for turn in chain)
    return {turn.id: problem for turn, problem in found if problem is not None}


def _problem(home: Home, turn: TurnRecord, whole: set[str]) -> str | None:
    try:
        saved = source_of(home, turn)
        for key in keys_of(saved.manifest) if saved is not None else ():
            if key not in whole:
                home.blobs.get(key)
                whole.add(key)
    except (SnapshotCorrupt, StateVersionError) as error:
        return str(error)
    return None


def keys_of(manifest: bytes) -> list[str]:
    """The blobs that a snapshot needs beside its manifest.

    Raises:
        SnapshotCorrupt: the manifest is none.
    """
    try:
        return list(dict.fromkeys(Manifest.decode(manifest).key_list()))
    except ManifestError as error:
        raise SnapshotCorrupt(f"A snapshot cannot be read: {error}.") from error
