"""How records become bytes: msgpack of plain JSON values.

Wider than msgpack by two things that JSON from a model may hold: integers above 64 bits (extension type 1, hexadecimal
digits) and lone surrogates in strings.
"""

from typing import Any

import msgpack
from blake3 import blake3

__all__ = ["canonical", "digest", "pack", "unpack"]

_BIG_INT = 1
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


def pack(value: Any) -> bytes:
    """The value as bytes. Tuples come back as lists.

    Raises:
        TypeError: a value is neither JSON nor bytes.
    """
    try:
        return _packb(value)
    except OverflowError:
        return _packb(_with_big_ints(value))


def unpack(data: bytes) -> Any:
    """The inverse of `pack`."""
    return msgpack.unpackb(
        data, ext_hook=_from_extension, strict_map_key=False, unicode_errors="surrogatepass", use_list=True
    )


def canonical(value: Any) -> bytes:
    """Bytes that are equal for equal values, whatever the order of their dicts."""
    return pack(_sorted(value))


def digest(data: bytes) -> str:
    """BLAKE3 of the bytes, 64 hexadecimal digits."""
    return blake3(data).hexdigest()


def _packb(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


def _with_big_ints(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_big_ints(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_big_ints(item) for item in value]
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        return msgpack.ExtType(_BIG_INT, f"{value:x}".encode())
    return value


def _from_extension(code: int, data: bytes) -> Any:
    return int(data, 16) if code == _BIG_INT else msgpack.ExtType(code, data)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value
