"""Streams that unpack gzip, bzip2 and xz data piece by piece, with bounded memory whatever the data asks for."""

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

from rlm_agent.store.charset import CHUNK

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Unpack", "decompressor"]

Unpack = Callable[[BinaryIO], BinaryIO]

_XZ_MEMORY = 1 << 28


class _Xz(io.RawIOBase):
    """Unpacks one xz stream after the other; `lzma.open` knows no bound of memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = self._fresh()
        self._packed = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        view = memoryview(buffer)
        data = b""
        while not data and not (self._stream.eof and not self._next()):
            data = self._stream.decompress(self._input(), len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()

    @staticmethod
    def _fresh() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)

    def _input(self) -> bytes:
        """Packed data where the stream wants some."""
        if not self._stream.needs_input:
            return b""
        data = self._packed or self._file.read(CHUNK)
        if not data:
            raise EOFError("compressed data ends before its end mark")
        self._packed = b""
        return data

    def _next(self) -> bool:
        """Whether another stream follows, after padding of zeros."""
        data = self._stream.unused_data.lstrip(b"\0")
        while not data and (more := self._file.read(CHUNK)):
            data = more.lstrip(b"\0")
        if data:
            self._packed, self._stream = data, self._fresh()
        return bool(data)


_FORMATS: dict[bytes, Unpack] = {
    rb"\x1f\x8b\x08": lambda file: cast(BinaryIO, gzip.GzipFile(fileobj=file)),
    rb"BZh[1-9](1AY&SY|\x17rE8P\x90)": lambda file: cast(BinaryIO, bz2.BZ2File(file)),
    rb"\xfd7zXZ\0": lambda file: cast(BinaryIO, _Xz(file)),
}


def decompressor(head: bytes) -> Unpack | None:
    """What unpacks data that begins like this; None where it is not compressed."""
    return next((unpack for magic, unpack in _FORMATS.items() if re.match(magic, head)), None)
