"""Bounds of what one `Corpus.load` takes in from sources whose size nobody sees beforehand."""

from dataclasses import dataclass

__all__ = ["Caps"]


@dataclass(frozen=True, slots=True)
class Caps:
    """Bounds of one load.

    Attributes:
        unpacked: bytes that one archive may unpack to.
        fetched: bytes that one address may send.
        members: entries of one archive.
        ratio: unpacked bytes for each packed byte, of archives that unpack to more than `unrated` bytes.
    """

    unpacked: int = 4 * 10**9
    fetched: int = 512 * 10**6
    members: int = 200_000
    ratio: int = 200
    unrated: int = 100 * 10**6
