"""Slots: the low numbers of the pickle memo, for what a snapshot names instead of holding it in its stream.

A slot holds an object of the host's by its place, or a large string of the cell's by its leaves. Invariant: an object
keeps its number from snapshot to snapshot, since each number moved would be new bytes in the stream.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rlm_agent.repl.leaves import LARGE, Leaves

__all__ = ["Slot", "Slots", "large_strings"]

FEWEST = 64
# Large strings that stand deeper are known by their bytes, which costs a copy each time.
MOST_LOOKS = 20_000


@dataclass(frozen=True, slots=True)
class Slot:
    """One number.

    Attributes:
        place: of an object of the host's; "" for a string.
        value: the object itself.
        kind: "str" or "bytes" for a string.
        size: bytes of the string's leaves together.
        keys: of these leaves.
    """

    place: str
    value: Any
    kind: str = ""
    size: int = 0
    keys: bytes = b""


class Slots:
    """All numbers below `capacity`; a free one is None."""

    def __init__(self, entries: list[Slot | None], capacity: int) -> None:
        self.entries = entries
        self.capacity = capacity

    @classmethod
    def empty(cls) -> "Slots":
        """No slot taken."""
        return cls([], FEWEST)

    def renewed(self, references: Mapping[str, Any], strings: list[str | bytes], leaves: Leaves) -> "Slots":
        """The slots of the next snapshot: what stays keeps its number, what is new takes a free one."""
        wanted = {id(value): Slot(place, value) for place, value in references.items()}
        texts = {id(text): text for text in strings if id(text) not in wanted}
        entries = [self._kept(entry, wanted, texts) for entry in self.entries]
        new = [*wanted.values(), *(_text_slot(text, leaves) for text in texts.values())]
        free = iter([number for number, entry in enumerate(entries) if entry is None])
        for slot in new:
            number = next(free, None)
            if number is None:
                entries.append(slot)
            else:
                entries[number] = slot
        capacity = self.capacity
        while len(entries) > capacity:
            capacity *= 4
        return Slots(entries, capacity)

    @staticmethod
    def _kept(entry: Slot | None, wanted: dict[int, Slot], texts: dict[int, str | bytes]) -> Slot | None:
        """The entry, where the same object is still wanted; then it needs no other number."""
        if entry is None:
            return None
        if entry.place:
            return wanted.pop(id(entry.value), None)
        return entry if texts.pop(id(entry.value), None) is not None else None

    def memo(self) -> dict[int, tuple[int, Any]]:
        """For a pickler: address -> (number, object) for each number below the capacity, the free ones with nothing."""
        fill = self.capacity - len(self.entries)
        objects = [entry.value if entry else object() for entry in [*self.entries, *[None] * fill]]
        return {id(value): (number, value) for number, value in enumerate(objects)}

    def texts(self) -> list[Slot]:
        """The slots of strings, in order."""
        return [entry for entry in self.entries if entry and not entry.place]


def _text_slot(text: str | bytes, leaves: Leaves) -> Slot:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return Slot("", text, type(text).__name__, len(data), leaves.block(memoryview(data)))


def large_strings(variables: Mapping[str, Any]) -> list[str | bytes]:
    """The large strings that are a variable or a member of one that is a plain container."""
    values = [*variables.values(), *_members(variables.values())]
    return list({id(value): value for value in values if type(value) in (str, bytes) and len(value) >= LARGE}.values())


def _members(values: Iterable[Any]) -> list[Any]:
    members: list[Any] = []
    for value in values:
        if type(value) in (list, tuple, dict) and len(members) + len(value) <= MOST_LOOKS:
            members.extend(value.values() if type(value) is dict else value)
    return members
