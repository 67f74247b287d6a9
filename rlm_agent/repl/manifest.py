"""Manifest: the small root of a snapshot, which names its leaves. The only part of a snapshot that the host reads.

Invariant: the host takes from it the form, the Python version and the list of leaf keys; the body is the worker's, and
opaque. A key is the BLAKE3 digest of a leaf's bytes. No import here costs anything: the host and the worker share it.
"""

from dataclasses import dataclass
from typing import Any

import msgpack

from rlm_agent.errors import StateVersionError

__all__ = ["FORM", "KEY_BYTES", "MOST_LEAVES", "Manifest", "ManifestError", "check_python"]

FORM = 2
KEY_BYTES = 32
# A terabyte of leaves; more is nonsense, whoever says it.
MOST_LEAVES = 1 << 20
# What a list begins with in msgpack.
ARRAYS = {bytes([code]) for code in (*range(0x90, 0xA0), 0xDC, 0xDD)}


def _four(data: bytes) -> list[Any]:
    """The four values of a manifest, none of which can hold others: a worker may have written it."""
    unpacker = msgpack.Unpacker(max_array_len=4, max_map_len=0, max_buffer_size=len(data), strict_map_key=False)
    unpacker.feed(data)
    if unpacker.read_array_header() != 4:
        raise ValueError("it does not hold four values")
    values = []
    for _ in range(4):
        if data[unpacker.tell() : unpacker.tell() + 1] in ARRAYS:
            raise ValueError("a list in it")
        values.append(unpacker.unpack())
    if unpacker.tell() != len(data):
        raise ValueError("there is something after it")
    return values


class ManifestError(ValueError):
    """These bytes are no manifest."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The root of a snapshot.

    Attributes:
        python: "3.11": whose byte code the snapshot holds.
        keys: of all leaves, KEY_BYTES each, in the order in which the body counts on them.
        body: how the leaves make a namespace.
    """

    python: str
    keys: bytes
    body: bytes

    def encode(self) -> bytes:
        """The manifest as bytes."""
        packed: bytes = msgpack.packb([FORM, self.python, self.keys, self.body])
        return packed

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """The inverse of `encode`.

        Raises:
            ManifestError: the bytes are damaged, or of another form.
        """
        try:
            form, python, keys, body = _four(data)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise ManifestError(f"the snapshot's manifest is damaged: {error}") from error
        if form != FORM:
            raise ManifestError(f"the snapshot has the form {form!r:.20}, this version knows {FORM}")
        if not (isinstance(python, str) and isinstance(keys, bytes) and isinstance(body, bytes)):
            raise ManifestError("the snapshot's manifest is damaged: a field is of the wrong type")
        if len(keys) % KEY_BYTES or len(keys) > MOST_LEAVES * KEY_BYTES:
            raise ManifestError(f"the snapshot's manifest is damaged: {len(keys)} bytes of keys")
        return cls(python, keys, body)

    def key_list(self) -> list[str]:
        """The keys as the host writes them, 64 hexadecimal digits each; one may come several times."""
        return [self.keys[at : at + KEY_BYTES].hex() for at in range(0, len(self.keys), KEY_BYTES)]


def check_python(manifest: Manifest, python: str) -> None:
    """Whether a worker of this Python may load the snapshot; to be asked before one is started.

    Args:
        python: "3.12".

    Raises:
        StateVersionError: the snapshot is of another minor version.
    """
    if manifest.python != python:
        raise StateVersionError(
            f"The variables of this run were saved by Python {manifest.python}, and this is Python {python}: byte code "
            f"of one is never loaded by the other. Go on with Python {manifest.python}, or make the variables anew "
            "from the record: `rlm resume --rebuild` takes time and asks for nothing that is recorded."
        )
