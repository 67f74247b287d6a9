"""Slots: an object keeps its number as long as it is wanted."""

from rlm_agent.repl.leaves import LARGE, Leaves
from rlm_agent.repl.slots import FEWEST, Slots, large_strings

TEXT, DATA = "글" * LARGE, b"x" * LARGE


def numbers(slots: Slots) -> dict[str, int]:
    return {entry.place or entry.kind: number for number, entry in enumerate(slots.entries) if entry}


def test_numbers_stay_and_free_ones_are_taken_again() -> None:
    leaves, objects = Leaves(), {name: [name] for name in "abcd"}
    first = Slots.empty().renewed({n: objects[n] for n in "abc"}, [TEXT], leaves)
    assert numbers(first) == {"a": 0, "b": 1, "c": 2, "str": 3}
    second = first.renewed({n: objects[n] for n in "acd"}, [TEXT, DATA], leaves)
    assert numbers(second) == {"a": 0, "d": 1, "c": 2, "str": 3, "bytes": 4}
    assert second.entries[3] is first.entries[3]
    # Another object under an old name is another object.
    third = second.renewed({"a": ["new"]}, [], leaves)
    assert list(numbers(third)) == ["a"]
    assert third.capacity == FEWEST


def test_every_number_below_the_capacity_is_in_the_memo() -> None:
    slots = Slots.empty().renewed({f"p{n}": [n] for n in range(FEWEST + 1)}, [], Leaves())
    assert slots.capacity == 4 * FEWEST
    memo = slots.memo()
    assert sorted(number for number, _ in memo.values()) == list(range(slots.capacity))
    assert all(key == id(value) for key, (_, value) in memo.items())


def test_large_strings_are_found_where_they_stand_plainly() -> None:
    variables = {"t": TEXT, "again": TEXT, "l": [DATA, "small"], "d": {"k": (TEXT,)}, "n": None}
    assert large_strings(variables) == [TEXT, DATA]
