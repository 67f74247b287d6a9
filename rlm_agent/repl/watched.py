"""Watched: a host-bound list of plain entries that a cell may change in place, and whether one did."""

from collections.abc import Iterable
from typing import Any

import msgpack
import xxhash

__all__ = ["Watched"]


class Watched:
    """A list that the host made and goes on extending.

    Attributes:
        entries: the list itself.
        count: how many entries the host gave.
    """

    def __init__(self, entries: list[Any]) -> None:
        self.entries = entries
        self.count = len(entries)
        self._given = xxhash.xxh3_128()
        _feed(self._given, entries)

    def extend(self, more: list[Any]) -> None:
        """Entries of the host's."""
        _feed(self._given, more)
        self.entries.extend(more)
        self.count += len(more)

    def changed(self) -> bool:
        """Whether the list holds anything but what the host gave."""
        now = xxhash.xxh3_128()
        try:
            _feed(now, self.entries)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return True
        return bool(now.digest() != self._given.digest())


def _feed(digest: Any, entries: Iterable[Any]) -> None:
    for entry in entries:
        digest.update(msgpack.packb(entry, unicode_errors="surrogatepass"))
