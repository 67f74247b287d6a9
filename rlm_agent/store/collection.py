"""Lists and dicts of sources: the name under which each of them, or what it holds, stands in the corpus.

In a dict a source is named by its key. In a list a text is named by its position, anything else by its own name, with
as many of the folders above it as tell it from the others. What holds several texts puts its name before theirs.
"""

from collections import Counter
from typing import Any

from rlm_agent.errors import ConfigError
from rlm_agent.store.handle import is_handle
from rlm_agent.store.sources import Named, recognised

__all__ = ["is_collection", "labelled"]


def is_collection(source: object) -> bool:
    """Whether a source is a list, tuple or dict of sources."""
    return isinstance(source, list | tuple | dict) and not is_handle(source)


def labelled(source: Any) -> list[tuple[str, Named]]:
    """The sources in a collection with their names, in its order; collections within are part of it.

    Raises:
        ConfigError: it is empty, or one of them is nothing that can be loaded; the message names that.
    """
    kind = type(source).__name__
    if not source:
        raise ConfigError(f"Corpus.load was given an empty {kind}: give at least one source in it.")
    keys = list(source) if isinstance(source, dict) else [str(number) for number in range(len(source))]
    if wrong := [key for key in keys if not isinstance(key, str) or not key]:
        raise ConfigError(f"The key {wrong[0]!r} in the dict of sources is no name: give a str.")
    values = source.values() if isinstance(source, dict) else source
    found = [_member(kind, key, value) for key, value in zip(keys, values, strict=True)]
    labels = keys if isinstance(source, dict) else _labels(keys, found)
    return [pair for label, member in zip(labels, found, strict=True) for pair in _placed(label, member)]


def _member(kind: str, key: str, value: Any) -> Named | list[tuple[str, Named]]:
    try:
        return labelled(value) if is_collection(value) else recognised(value)
    except ConfigError as error:
        raise ConfigError(f"Source {key!r} of the {kind}: {error}") from error


def _placed(label: str, member: Named | list[tuple[str, Named]]) -> list[tuple[str, Named]]:
    if isinstance(member, Named):
        return [(label, member)]
    return [(f"{label}/{within}", named) for within, named in member]


def _labels(positions: list[str], found: list[Named | list[tuple[str, Named]]]) -> list[str]:
    """A name for each of a list: the shortest end of its trail that no other trail has, else its position."""
    trails = [member.trail if isinstance(member, Named) else () for member in found]
    depth = {trail: 1 for trail in trails if trail}
    while True:
        ends = {trail: "/".join(trail[-depth[trail] :]) for trail in depth}
        shared = Counter(ends.values())
        longer = [trail for trail, end in ends.items() if shared[end] > 1 and depth[trail] < len(trail)]
        if not longer:
            return [ends.get(trail, position) for trail, position in zip(trails, positions, strict=True)]
        for trail in longer:
            depth[trail] += 1
