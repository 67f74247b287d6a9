"""KnownLeaves: what the host has seen of a session's leaves, so that a worker can name no other.

A worker that could name any key would read foreign blobs at the next restore, or pass off what it never sent.
Invariant: each key of a manifest that is let through was in the one before, or its bytes came from the worker and were
hashed here.
"""

from collections.abc import Sequence

from blake3 import blake3

from rlm_agent.errors import KernelError
from rlm_agent.repl.kernel import SnapshotSource
from rlm_agent.repl.manifest import MOST_LEAVES, Manifest, ManifestError
from rlm_agent.repl.watch import OWN_MEMORY
from rlm_agent.settings import Limits

__all__ = ["KnownLeaves", "most_bytes"]

MOST_BYTES = 4 << 30
"""What a snapshot may bring along anew, since the host holds it in memory; less where the session may hold less."""


def most_bytes(limits: Limits) -> int:
    """The bound for a session: all that its memory and its files can hold."""
    return min(MOST_BYTES, (limits.memory_mb + limits.disk_mb << 20) + OWN_MEMORY)


class KnownLeaves:
    """The keys of a session.

    Args:
        source: what it starts from.
        most: bytes that one snapshot may bring along anew.

    Raises:
        KernelError: that is no manifest.
    """

    def __init__(self, source: SnapshotSource | None, most: int = MOST_BYTES) -> None:
        self._source, self._most = source, most
        try:
            self._keys = set(Manifest.decode(source.manifest).key_list()) if source else set[str]()
        except ManifestError as error:
            raise KernelError(f"The session cannot be restored: {error}.") from error

    def read(self, keys: Sequence[str]) -> list[bytes]:
        """Leaves of the snapshot that the session starts from."""
        if self._source is None or not self._keys.issuperset(keys):
            raise KernelError("The REPL worker broke the protocol: it asked for a leaf of no snapshot of its own.")
        return [self._source.read(key) for key in keys]

    def add(self, leaves: Sequence[bytes], new: dict[str, bytes]) -> None:
        """Takes in leaves that the worker sent."""
        new.update((blake3(leaf).hexdigest(), leaf) for leaf in leaves)
        if len(new) > MOST_LEAVES:
            raise KernelError(f"The REPL worker broke the protocol: more than {MOST_LEAVES} leaves in one snapshot.")
        if sum(map(len, new.values())) > self._most:
            raise KernelError(f"The snapshot would write more than {self._most >> 20} MB at once.")

    def settle(self, keys: Sequence[str], new: dict[str, bytes]) -> None:
        """Checks the keys of a manifest; from here on the session may name these and no others."""
        named = set(keys)
        if not named <= self._keys | new.keys() or not named >= new.keys():
            raise KernelError("The REPL worker broke the protocol: its snapshot names other leaves than it sent.")
        self._keys = named
