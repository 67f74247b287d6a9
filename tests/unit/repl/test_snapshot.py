"""Snapshots in a row: each loads to the very namespace of its turn, sharing included, and holds only what changed."""

import random
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_agent.repl.dumping import Subject
from rlm_agent.repl.snapshot import Snapshots, Taken


class Store:
    """All leaves that a session ever gave."""

    def __init__(self) -> None:
        self.leaves: dict[bytes, bytes] = {}

    def fetch(self, keys: list[bytes]) -> Iterator[bytes]:
        return iter([self.leaves[key] for key in keys])


class Session:
    """Takes snapshots of one namespace, without a process around it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.namespace: dict[str, Any] = {}
        self.snapshots = Snapshots()
        self.host = [object(), ["messages"]]

    def _references(self) -> dict[str, Any]:
        return {"namespace": self.namespace, **{f"bound/{n}": value for n, value in enumerate(self.host)}}

    def take(self) -> Taken:
        references = self._references()
        subject = Subject(self.namespace, self.namespace, references)
        taken = self.snapshots.take(subject, references.__getitem__, {"turn": 1}, {"note": b"\x00" * 10})
        self.store.leaves |= {blake3(leaf).digest(): leaf for leaf in taken.leaves}
        return taken

    def size(self) -> int:
        """Bytes of the next snapshot's leaves."""
        return sum(map(len, self.take().leaves))

    def restored(self, taken: Taken) -> "Session":
        again = Session(self.store)
        again.host = self.host
        references = again._references()
        image = again.snapshots.restore(
            taken.manifest, self.store.fetch, again.namespace, lambda _: references.__getitem__
        )
        assert (image.extra, image.notes) == ({"turn": 1}, {"note": b"\x00" * 10})
        return again


def shape(value: Any, seen: dict[int, int]) -> Any:
    """A graph as a tree in which an object that comes again is its number."""
    if isinstance(value, int | None) or (isinstance(value, str) and len(value) < 2):
        # Python itself makes one object of some equal ones of these.
        return value
    if id(value) in seen:
        return ("again", seen[id(value)])
    seen[id(value)] = len(seen)
    if isinstance(value, dict):
        return ("dict", [(shape(key, seen), shape(item, seen)) for key, item in value.items()])
    if isinstance(value, list | tuple):
        return (type(value).__name__, [shape(item, seen) for item in value])
    if isinstance(value, np.ndarray):
        base = None if value.base is None else shape(value.base, seen)
        return ("array", base, str(value.dtype), value.shape, value.strides, value.flags.writeable, value.tobytes())
    return (type(value).__name__, value)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    names = sorted(first)
    return sorted(second) == names and shape([first[n] for n in names], {}) == shape([second[n] for n in names], {})


class Player:
    """Changes a namespace at random, as cells do: new values, old ones shared, grown, shrunk and deleted."""

    def __init__(self, seed: int, session: Session) -> None:
        self.random = random.Random(seed)
        self.session = session

    def turn(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            self.random.choice([self.new, self.new, self.grow, self.share, self.delete, self.write])()

    def _name(self) -> str:
        return f"v{self.random.randint(0, 12)}"

    def _some(self, *kinds: type) -> Any:
        values = [value for value in self.session.namespace.values() if isinstance(value, kinds)]
        return self.random.choice(values) if values else None

    def new(self) -> None:
        text = f"{self.random.random()} 글"
        made = self.random.choice(
            [
                lambda: [text, text, {text: None}],
                lambda: text * self.random.choice([1, 100, 9_000, 60_000]),
                lambda: self.random.randbytes(self.random.choice([10, 70_000, 1_500_000])),
                lambda: bytearray(self.random.randbytes(self.random.choice([10, 70_000]))),
                lambda: np.arange(self.random.choice([3, 20_000, 300_000])),
                lambda: [{"n": n, "t": str(n)} for n in range(self.random.choice([2, 300, 3000]))],
                lambda: self.session.host[self.random.randint(0, 1)],
                lambda: self.random.randint(0, 1 << 70),
                lambda: (),
            ]
        )
        self.session.namespace[self._name()] = made()

    def grow(self) -> None:
        target = self._some(list)
        if target is not None and target is not self.session.host[1]:
            target.extend([[n] for n in range(self.random.choice([1, 10, 500]))])

    def share(self) -> None:
        target, other = self._some(list), self._some(object)
        if target is not None and target is not self.session.host[1]:
            target.insert(self.random.randint(0, len(target)), other)
        array = self._some(np.ndarray)
        if array is not None and array.ndim == 1:
            self.session.namespace[self._name()] = array[1:]

    def delete(self) -> None:
        self.session.namespace.pop(self._name(), None)

    def write(self) -> None:
        array = self._some(np.ndarray, bytearray)
        if array is not None and len(array):
            array[self.random.randrange(len(array))] = 7


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32))
def test_any_run_of_turns_is_restored_turn_by_turn(seed: int) -> None:
    session = Session(Store())
    player = Player(seed, session)
    for turn in range(8):
        player.turn()
        taken = session.take()
        assert taken.losses == []
        again = session.restored(taken)
        assert same(session.namespace, again.namespace)
        if turn % 3 == 2:
            session = player.session = again


def test_what_did_not_change_is_not_written() -> None:
    session = Session(Store())
    session.namespace.update(
        text="글" * 500_000,
        data=random.Random(1).randbytes(3_000_000),
        array=np.random.default_rng(1).random(1_000_000),
        rows=[{"id": n, "name": f"name {n}"} for n in range(10_000)],
        deep={"a": [{"text": "x" * 200_000}]},
        last=[1],
    )
    assert session.size() > 11_000_000
    assert session.size() == 0
    again = session.restored(session.take())
    assert again.size() == 0
    for namespace, size in [(session.namespace, session.size), (again.namespace, again.size)]:
        namespace["array"][500_000] = 1
        assert size() < 1_100_000
        namespace["rows"][5_000]["id"] = -1
        assert size() < 50_000
        namespace["rows"].append({"id": 1})
        assert size() < 50_000
        namespace["text"] += "끝"
        assert size() < 1_100_000
        namespace["new"] = 1
        assert size() < 20_000
        del namespace["rows"]
        assert size() < 20_000


def test_growing_variables_keep_the_others_in_place() -> None:
    session = Session(Store())
    session.namespace.update({f"list{n}": [[]] for n in range(20)}, rows=[{"n": n} for n in range(20_000)])
    session.take()
    sizes = []
    for turn in range(40):
        for n in range(20):
            session.namespace[f"list{n}"].extend([] for _ in range(turn))
        sizes.append(session.size())
    assert max(sizes) < 20_000
    assert same(session.namespace, session.restored(session.take()).namespace)


def test_many_turns_of_replaced_variables_do_not_pile_up() -> None:
    session = Session(Store())
    for turn in range(30):
        session.namespace.clear()
        session.namespace.update({f"v{turn}_{n}": [[] for _ in range(100)] for n in range(10)})
        taken = session.take()
    again = session.restored(taken)
    assert again.snapshots._before is not None
    assert again.snapshots._before.rows[-1].base < 10_000


def test_more_named_objects_than_there_were_numbers() -> None:
    session = Session(Store())
    session.namespace["a"] = session.host[1]
    session.take()
    session.host += [[n] for n in range(500)]
    session.namespace["b"] = session.host[300]
    again = session.restored(session.take())
    assert again.namespace["a"] is session.host[1]
    assert again.namespace["b"] is session.host[300]


class Custom:
    """Loading this runs code that is not known to be harmless."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)


def test_a_trial_is_made_only_where_unknown_code_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    monkeypatch.setattr("rlm_agent.repl.snapshot.unloadable", lambda image, resolve: tried.append(image) or {})
    session = Session(Store())
    session.namespace.update(plain=[1], array=np.arange(3), function=lambda: 1, space=types.SimpleNamespace(a=1))
    session.take()
    assert len(tried) == 0
    session.namespace["custom"] = Custom()
    session.take()
    session.take()
    assert len(tried) == 1
    session.namespace["plain"].append(2)
    session.take()
    assert len(tried) == 2
