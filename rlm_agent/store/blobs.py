"""Bytes under the digest of themselves: small ones as rows, large ones as files.

Invariant: what `get` returns hashes to its key; a file appears under its key whole and synced, or not at all. A blob
tells when it was last put, also where its bytes were there already: the column `touched`, a file's access time.
Which blobs are still needed is not known here.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection

from rlm_agent.errors import SnapshotCorrupt
from rlm_agent.store.claims import using
from rlm_agent.store.database import Database
from rlm_agent.store.failures import explained
from rlm_agent.store.layout import publish
from rlm_agent.store.plain import digest

__all__ = ["LARGE", "Blobs", "is_key"]

LARGE = 64 * 1024
"""Bytes from which on a blob is a file of its own."""

_PUT = """
    INSERT INTO blobs (key, data, touched) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET touched = excluded.touched"""
_KEY = re.compile(r"[0-9a-f]{64}\Z")


def is_key(text: str) -> bool:
    """Whether this is a digest as keys are: 64 hexadecimal digits."""
    return bool(_KEY.match(text))


class Blobs:
    """The blobs of one home. A key is the BLAKE3 digest, 64 hexadecimal digits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, data: bytes) -> str:
        """Stores bytes and returns their key once they are on disk. Bytes already there are not written again."""
        if len(data) >= LARGE:
            return await self._database.read(self._put_file, data)
        key = digest(data)
        await self._database.commit(_insert_op(key, data))
        return key

    def put_sync(self, data: bytes) -> str:
        """Like `put`, for threads."""
        if len(data) >= LARGE:
            return self._put_file(data)
        key = digest(data)
        self._database.write(_insert_op(key, data)).result()
        return key

    def get(self, key: str) -> bytes:
        """The bytes of a key.

        Raises:
            SnapshotCorrupt: they are missing, or are no longer what was stored.
        """
        data = self._row(key)
        where = self._database.file
        if data is None:
            where = self.path(key)
            data = self._file(where)
        if data is None:
            raise SnapshotCorrupt(f"Blob {key} is missing: neither a row of {self._database.file} nor {where}.")
        if digest(data) != key:
            raise SnapshotCorrupt(f"Blob {key} in {where} is damaged: its bytes do not hash to its key.")
        return data

    def has(self, key: str) -> bool:
        """Whether a blob is there, whole or not."""
        return self._row(key) is not None or self.path(key).is_file()

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys under which nothing is there."""
        large = [key for key in keys if not self.path(key).is_file()]
        with self._database.reading() as connection:
            query = "SELECT 1 FROM blobs WHERE key = ?"
            return [key for key in large if connection.execute(query, (key,)).fetchone() is None]

    def path(self, key: str) -> Path:
        """The file of a large blob, there or not.

        Raises:
            SnapshotCorrupt: the key is none.
        """
        if not is_key(key):
            raise SnapshotCorrupt(f"{key!r} is not the key of a blob: 64 hexadecimal digits are.")
        return self._database.path / "blobs" / key[:2] / key

    def _row(self, key: str) -> bytes | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT data FROM blobs WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def _file(self, path: Path) -> bytes | None:
        with explained(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def _put_file(self, data: bytes) -> str:
        key = digest(data)
        path = self.path(key)
        self._database.open()
        with explained(path):
            if not self._found(path, len(data)):
                path.parent.mkdir(mode=0o700, exist_ok=True)
                publish(data, path, self._database.tmp, lock=using(self._database.path))
        return key

    def _found(self, path: Path, size: int) -> bool:
        """Whether the file is there, whole; if so it counts as put now."""
        try:
            with using(self._database.path):
                there = os.stat(path)
                if there.st_size == size:
                    os.utime(path, ns=(time.time_ns(), there.st_mtime_ns))
        except FileNotFoundError:
            return False
        return there.st_size == size


def _insert_op(key: str, data: bytes) -> Callable[[Connection], None]:
    def op(connection: Connection) -> None:
        connection.execute(_PUT, (key, data, time.time()))

    return op
