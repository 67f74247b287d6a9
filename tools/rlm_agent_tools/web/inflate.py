"""A compressed body, unpacked as it comes, within its limits. Pure."""

import zlib

from langchain_core.tools import ToolException

__all__ = ["Inflater", "accepted"]

_FREE = 1_000_000
_STEP = 1 << 18


def accepted(coding: str) -> bool:
    """Whether a content coding is one that is read: none, gzip or deflate."""
    return coding in ("", "identity", "gzip", "x-gzip", "deflate")


class Inflater:
    """Takes a body in pieces.

    Args:
        coding: its content coding, one that is `accepted`.
        most: bytes that it may come to.
        ratio: bytes that may come out for each that went in, beyond the first million.
    """

    def __init__(self, coding: str, most: int, ratio: int) -> None:
        self._coding, self._most, self._ratio = coding, most, ratio
        self._packed = coding not in ("", "identity")
        self._stream = self._begin()
        self._begun = False
        self._taken = 0
        self._given = bytearray()

    def add(self, data: bytes) -> None:
        """Takes the next piece.

        Raises:
            ToolException: it is too much, or is not what its coding says.
        """
        self._taken += len(data)
        if not self._packed:
            self._give(data)
            return
        try:
            self._unpack(data)
        except zlib.error:
            raise ToolException("The page's compressed data is damaged.") from None

    def end(self) -> bytes:
        """All of it.

        Raises:
            ToolException: it ends in the middle.
        """
        if self._packed and self._taken and not self._stream.eof:
            raise ToolException("The page's compressed data ends in the middle.")
        return bytes(self._given)

    def _begin(self, window: int = 47) -> "zlib._Decompress":
        return zlib.decompressobj(window)  # 47: gzip or zlib, whichever it is

    def _unpack(self, data: bytes) -> None:
        if self._coding == "deflate" and not self._begun and data and data[0] & 0x0F != 8:
            self._stream = self._begin(-15)  # some servers send deflate without zlib's frame
        self._begun = self._begun or bool(data)
        while data:
            if self._stream.eof:
                self._stream = self._begin()
            self._give(self._stream.decompress(data, _STEP))
            data = self._stream.unconsumed_tail or self._stream.unused_data

    def _give(self, data: bytes) -> None:
        self._given += data
        size = len(self._given)
        if size > self._most:
            raise ToolException(f"The page has more than {self._most:,} bytes, which is the most that is read.")
        if self._packed and size > _FREE + self._ratio * self._taken:
            raise ToolException("The page decompresses to suspiciously much, and was not read.")
