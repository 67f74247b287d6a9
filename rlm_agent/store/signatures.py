"""Signatures: which snapshot a turn has, as this home's key vouches for it.

Invariant: `snapshot_of` gives the key of a snapshot only where the turn's record is what its id says, and the signature
is this key's over that id and that snapshot. A rebuild replaces the row of a turn, never the turn.
"""

import hmac
import time
from sqlite3 import Connection

from rlm_agent.errors import HomeError, SnapshotCorrupt
from rlm_agent.store.database import Database
from rlm_agent.store.fence import Fence
from rlm_agent.store.plain import unpack
from rlm_agent.store.records import TurnRecord
from rlm_agent.store.signing import Key, Signer
from rlm_agent.store.turn_ids import turn_id
from rlm_agent.store.writer import Op

__all__ = ["Signatures", "sign_op"]

_REPLACE = "INSERT OR REPLACE INTO snapshots (turn, snapshot, key_id, mac, at) VALUES (?, ?, ?, ?, ?)"
_FOUND = """
    SELECT t.body, s.snapshot, s.key_id, s.mac FROM turns t LEFT JOIN snapshots s ON s.turn = t.id WHERE t.id = ?"""


class Signatures:
    """The signed snapshots of one home."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._signer: Signer | None = None

    @property
    def signer(self) -> Signer:
        """The home's key."""
        if self._signer is None:
            self._signer = Signer(self._database.path)
        return self._signer

    def snapshot_of(self, turn: TurnRecord) -> str | None:
        """The key of a turn's snapshot; None where it has none. Blocks.

        Raises:
            SnapshotCorrupt: the record or its signature is not what this home wrote.
        """
        with self._database.reading() as connection:
            row = connection.execute(_FOUND, (turn.id,)).fetchone()
        if row is None:
            raise HomeError(f"Turn {turn.number} ({turn.id}) is not in the home {self._database.path}.")
        body, snapshot, key_id, mac = row
        if turn_id(unpack(body)) != turn.id:
            raise SnapshotCorrupt(
                f"The record of turn {turn.number} was changed: it does not hash to {turn.id}, its id."
            )
        if snapshot is not None:
            self._check(turn, str(snapshot), key_id, mac)
        elif turn.snapshot is not None:
            raise SnapshotCorrupt(f"The snapshot of turn {turn.number} is not signed, so who wrote it is not known.")
        return None if snapshot is None else str(snapshot)

    async def replace(self, turn: TurnRecord, snapshot: str, fence: Fence | None) -> None:
        """Gives a turn another snapshot, which its cells were run again for."""
        key = await self._database.read(self.signer.key)
        await self._database.commit(sign_op(key, turn.id, snapshot), fence=fence)

    def _check(self, turn: TurnRecord, snapshot: str, key_id: str, mac: bytes) -> None:
        key = self.signer.key()
        if key_id != key.id:
            raise SnapshotCorrupt(
                f"The snapshot of turn {turn.number} was signed with the key {key_id}, but {key.origin} holds the key "
                f"{key.id}: give the key that was used, as RLM_KEY or RLM_KEY_FILE."
            )
        if not hmac.compare_digest(mac, key.mac(turn.id, snapshot)):
            raise SnapshotCorrupt(
                f"The snapshot of turn {turn.number} is forged or swapped: its signature does not fit. "
                "It is not loaded."
            )


def sign_op(key: Key, turn: str, snapshot: str) -> Op[None]:
    """Signs that a turn has this snapshot."""
    row = (turn, snapshot, key.id, key.mac(turn, snapshot), time.time())

    def op(connection: Connection) -> None:
        connection.execute(_REPLACE, row)

    return op
