"""The JSON value in a model's reply.

Owns: telling the value from what models write around it. Invariant: what is returned can be stored as UTF-8 JSON; a
text that could mean two values is refused, not guessed at.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

__all__ = ["parse_json"]

_TRIES = 500


def parse_json(text: str) -> Any:
    """The JSON value in a reply: all of it, or a fenced block, or the one object (else the one list) within prose.

    Raises:
        ValueError: there is none, or more than one.
    """
    with suppress(ValueError):
        return _loads(text)
    found = list(_fenced(text)) or list(_embedded(text))
    values = [value for value in found if isinstance(value, dict)] or found
    if len(values) == 1:
        return values[0]
    if values:
        raise ValueError(f"the text holds {len(values)} JSON values; give one and nothing else")
    raise ValueError(f"no JSON value found in {_shown(text)}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(strict=False, parse_constant=_no_constant)


def _loads(text: str) -> Any:
    try:
        return _sound(_decoder.decode(text.strip()))
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def _sound(value: Any) -> Any:
    try:
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8 form and could not be stored
    except UnicodeEncodeError:
        raise ValueError("a string holds half of a surrogate pair") from None
    return value


def _fenced(text: str) -> Iterator[Any]:
    """The JSON values of fenced blocks."""
    for part in text.split("```")[1::2]:
        tag, _, body = part.partition("\n")
        with suppress(ValueError):
            yield _loads(body if tag.strip().isalpha() or not tag.strip() else part)


def _embedded(text: str) -> Iterator[Any]:
    """Objects and lists that stand within prose, outermost only."""
    position, tries = 0, 0
    while tries < _TRIES and (starts := [i for i in (text.find("{", position), text.find("[", position)) if i >= 0]):
        position, tries = min(starts), tries + 1
        try:
            value, position = _decoder.raw_decode(text, position)
            yield _sound(value)
        except (ValueError, RecursionError):
            position += 1


def _shown(text: str) -> str:
    short = " ".join(text[:400].split())
    return repr(short if len(short) <= 120 else short[:120] + "...")
