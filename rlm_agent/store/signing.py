"""The signing key of a home: it says which snapshot belongs to which turn, and lies outside of what it signs.

Invariant: whoever can write the home's files, but not read the key, cannot make a worker load a snapshot that this
home did not record for that very turn. The key comes from `$RLM_KEY`, `$RLM_KEY_FILE`, or a file of mode 0600 beside
the home's directory, made at first use. Rows are `signatures.py`'s.
"""

import hmac
import secrets
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from blake3 import blake3

from rlm_agent import environment
from rlm_agent.errors import ConfigError, HomeError
from rlm_agent.store.failures import explained
from rlm_agent.store.layout import publish_new
from rlm_agent.store.plain import canonical

__all__ = ["Key", "Signer"]

SHORTEST = 16
"""Bytes of a key that is given."""


@dataclass(frozen=True)
class Key:
    """A signing key and where it is from."""

    secret: bytes
    origin: str

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits that tell keys apart and tell nothing of the key."""
        return blake3(self.secret, derive_key_context="langgraph-rlm snapshot key id").hexdigest()[:16]

    def mac(self, turn: str, snapshot: str) -> bytes:
        """HMAC-SHA256 (RFC 2104) over a turn's id and the key of its snapshot, 32 bytes."""
        return hmac.digest(self.secret, canonical(["langgraph-rlm snapshot", 1, turn, snapshot]), "sha256")


class Signer:
    """The key of one home, found or made when it is first needed.

    Args:
        home: the home's directory.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._key: Key | None = None

    @property
    def file(self) -> Path:
        """Where the key lies if the environment names none: beside the home."""
        return self._home.with_name(f"{self._home.name}.key")

    def key(self) -> Key:
        """The key. Blocks at first use.

        Raises:
            ConfigError: the one that is given is too short.
            HomeError: its file cannot be read or made, or others can read it.
        """
        with self._lock:
            if self._key is None:
                self._key = _given() or self._own()
            return self._key

    def _own(self) -> Key:
        with explained(self.file):
            if not self.file.exists():
                with suppress(FileExistsError):  # another process was faster: its key is the home's
                    publish_new(secrets.token_hex(32).encode(), self.file)
            if stat.S_IMODE(self.file.stat().st_mode) & 0o077:
                raise HomeError(
                    f"{self.file}, which signs this home's snapshots, can be read by other users: "
                    f"chmod 600 it if nobody has read it, else `rlm resume THREAD --rebuild` with a new one."
                )
            return Key(_long_enough(self.file.read_bytes().strip(), str(self.file)), str(self.file))


def _given() -> Key | None:
    secret, file = environment.rlm_key(), environment.rlm_key_file()
    if secret is not None:
        return Key(_long_enough(secret, "RLM_KEY"), "RLM_KEY")
    if file is None:
        return None
    with explained(file):
        return Key(_long_enough(file.read_bytes().strip(), f"RLM_KEY_FILE, {file},"), str(file))


def _long_enough(secret: bytes, origin: str) -> bytes:
    if len(secret) < SHORTEST:
        raise ConfigError(
            f"{origin} holds {len(secret)} bytes; a key that signs snapshots has at least {SHORTEST}, "
            f"for example what `python3 -c 'import secrets; print(secrets.token_hex(32))'` prints."
        )
    return secret
