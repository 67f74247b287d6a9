"""Protocol: what a worker may say, checked on the host before anything relies on it.

Invariant: whatever a hostile worker sends, the outcome is a value of `kernel.py`, a KernelError or a SnapshotCorrupt.
"""

import json
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

from rlm_agent.errors import KernelError, SnapshotCorrupt
from rlm_agent.repl.kernel import MOST_READINGS, CellDone, ErrorKind, Request
from rlm_agent.repl.manifest import Manifest, ManifestError
from rlm_agent.repl.output import KEEP, shorten
from rlm_agent.repl.plain import problem

__all__ = ["Asked", "Saved", "parse_done", "parse_event", "parse_saving", "parse_starting"]

MOST_CALLS = 100_000
MOST_VARIABLES = 200_000
# A piece of a MiB, its tag, and what compression that does not help may add.
LARGEST_LEAF = (1 << 20) + 1024
MOST_FETCHED = 1024
MOST_DIMENSIONS = 64
# Characters; the worker cuts at the same places or before, so that only one that lies is cut here.
LONGEST_ERROR = 256 << 10
LONGEST_NAME = 1000
LONGEST_PREVIEW = 4000
LONGEST_CONTENT = 64 << 20
LONGEST_STRUCTURE = 16 << 20
"""Characters of JSON. A text of JSON takes what it is long; of a structure each character may be an object."""
T = TypeVar("T")


class Asked:
    """A request, how many other threads of the cell were running when it was sent, and what was read of the clock."""

    __slots__ = ("readings", "request", "running")

    def __init__(self, request: Request, running: int, readings: tuple[int, ...] = ()) -> None:
        self.request = request
        self.running = running
        self.readings = readings


def _field(message: dict[str, Any], name: str, kind: type[T]) -> T:
    value = message.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise KernelError(f"The REPL worker broke the protocol: {name!r} of {message.get('op')!r:.40} is wrong.")
    return value


def _message(message: Any, *ops: str) -> dict[str, Any]:
    if not isinstance(message, dict) or message.get("op") not in (*ops, "fault"):
        raise KernelError(f"The REPL worker broke the protocol: it sent no {' or '.join(ops)}.")
    if message["op"] == "fault":
        raise KernelError(f"The REPL worker failed: {_field(message, 'error', str)[:2000]}")
    return message


def parse_event(message: Any) -> Asked | CellDone:
    """A request, or the end of a cell."""
    checked = _message(message, "request", "done")
    return parse_done(checked) if checked["op"] == "done" else _asked(checked)


def _asked(message: dict[str, Any]) -> Asked:
    number, kind = _field(message, "id", int), _field(message, "kind", str)
    running = _field(message, "running", int)
    request = _function(number, message) if kind == "function" else _calls(number, kind, message)
    return Asked(request, running, _readings(message))


def _readings(message: dict[str, Any]) -> tuple[int, ...]:
    """Of the clock."""
    readings = _field(message, "clock", list)
    if len(readings) > MOST_READINGS or not all(type(each) is int and abs(each) < 1 << 63 for each in readings):
        raise KernelError("The REPL worker broke the protocol: it sent no readings of a clock.")
    return tuple(readings)


def _function(number: int, message: dict[str, Any]) -> Request:
    kwargs = _field(message, "kwargs", dict)
    if not all(isinstance(key, str) for key in kwargs):
        raise KernelError("The REPL worker broke the protocol: a keyword is no str.")
    args = tuple(_field(message, "args", list))
    if why := problem([args, kwargs]):
        raise KernelError(f"The REPL worker broke the protocol: arguments are no plain data: {why}.")
    return Request(number, "function", name=_field(message, "name", str), args=args, kwargs=kwargs)


def _calls(number: int, kind: str, message: dict[str, Any]) -> Request:
    calls = _field(message, "calls", list)
    known: dict[str, Literal["llm", "rlm"]] = {"llm": "llm", "rlm": "rlm"}
    if kind not in known or not 0 < len(calls) <= MOST_CALLS:
        raise KernelError(f"The REPL worker broke the protocol: a request {kind!r:.20} of {len(calls)} calls.")
    if not all(isinstance(call, dict) and isinstance(call.get("prompt"), str) for call in calls):
        raise KernelError("The REPL worker broke the protocol: a call without a prompt.")
    if why := problem(calls):
        raise KernelError(f"The REPL worker broke the protocol: a call is no plain data: {why}.")
    return Request(number, known[kind], calls=tuple(calls if kind == "llm" else _with_contexts(calls, message)))


def _with_contexts(calls: list[dict[str, Any]], message: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls with the contexts that they name by their place, each of which travels once."""
    contexts = _field(message, "contexts", list) if "contexts" in message else []
    if not all(isinstance(context, str | list | dict) for context in contexts) or problem(contexts):
        raise KernelError("The REPL worker broke the protocol: a context is no plain text, list or dict.")
    return [_with_context(call, contexts) for call in calls]


def _with_context(call: dict[str, Any], contexts: list[Any]) -> dict[str, Any]:
    place = call.get("context")
    if type(place) is not int:
        return call
    if not 0 <= place < len(contexts):
        raise KernelError("The REPL worker broke the protocol: a call names a context that is not there.")
    return {**call, "context": contexts[place]}


def parse_done(message: dict[str, Any]) -> CellDone:
    """The end of a cell; its running time is the host's to fill in."""
    error, kind = message.get("error"), message.get("error_kind")
    if (error is not None and not isinstance(error, str)) or kind not in (None, *get_args(ErrorKind)):
        raise KernelError("The REPL worker broke the protocol: no error it knows.")
    answer = _field(message, "answer", dict)
    content = _loaded(_field(answer, "content", str))
    ready = _field(answer, "ready", bool)
    output = shorten(_field(message, "output", str), KEEP)
    error = shorten(error, LONGEST_ERROR) if error else error
    answered = {"content": content, "ready": ready}
    return CellDone(output, error, kind, answer=answered, readings=_readings(message))


def _loaded(text: str) -> Any:
    if len(text) > (LONGEST_CONTENT if text[:1] == '"' else LONGEST_STRUCTURE):
        raise KernelError(f"answer['content'] is {len(text)} characters of JSON, more than a host takes.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KernelError(f"The REPL worker broke the protocol: answer is no JSON ({error!s:.100}).") from error


class Saved:
    """A snapshot's root, and what it says of the variables; see `Snapshot`."""

    __slots__ = ("keys", "lost", "manifest", "seconds", "variables")

    def __init__(self, message: dict[str, Any]) -> None:
        self.manifest = _field(message, "manifest", bytes)
        self.variables = _entries(message, "variables", _variable)
        self.lost = _entries(message, "lost", _loss)
        self.seconds = _field(message, "seconds", float)
        try:
            self.keys = Manifest.decode(self.manifest).key_list()
        except ManifestError as error:
            raise KernelError(f"The REPL worker broke the protocol: {error}.") from error


def parse_saving(message: Any) -> list[bytes] | Saved:
    """Leaves of a snapshot, or its end."""
    checked = _message(message, "snapshot", "leaves")
    if checked["op"] == "snapshot":
        return Saved(checked)
    leaves = _field(checked, "leaves", list)
    if not all(isinstance(leaf, bytes) and 0 < len(leaf) <= LARGEST_LEAF for leaf in leaves):
        raise KernelError("The REPL worker broke the protocol: it sent what is no leaf.")
    return leaves


def parse_starting(message: Any) -> list[str] | tuple[dict[str, str], ...]:
    """Keys of leaves that the worker needs (a list), or the variables that it did not bring back (a tuple).

    Raises:
        SnapshotCorrupt: the worker cannot load what is in them.
    """
    checked = _message(message, "started", "fetch", "damaged")
    if checked["op"] == "damaged":
        raise SnapshotCorrupt(f"The variables cannot be loaded: {_field(checked, 'why', str)[:2000]}.")
    if checked["op"] == "started":
        return _entries(checked, "lost", _loss)
    keys = _field(checked, "keys", list)
    if not all(isinstance(key, bytes) for key in keys) or len(keys) > MOST_FETCHED:
        raise KernelError("The REPL worker broke the protocol: it asked for what is no leaf.")
    return [key.hex() for key in keys]


def _entries(message: dict[str, Any], name: str, read: Callable[[Any], dict[str, Any] | None]) -> tuple[Any, ...]:
    entries = _field(message, name, list)
    known = [read(entry) for entry in entries] if len(entries) <= MOST_VARIABLES else [None]
    if None in known:
        raise KernelError(f"The REPL worker broke the protocol: {name!r} is wrong.")
    return tuple(known)


def _texts(entry: Any, **longest: int) -> dict[str, Any] | None:
    """These fields of an entry and no others, each cut; None where one is no text."""
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in longest):
        return None
    return {key: entry[key][:most] for key, most in longest.items()}


def _loss(entry: Any) -> dict[str, Any] | None:
    return _texts(entry, name=LONGEST_NAME, type=LONGEST_NAME, why=LONGEST_PREVIEW)


def _variable(entry: Any) -> dict[str, Any] | None:
    texts = _texts(entry, name=LONGEST_NAME, type=LONGEST_NAME, preview=LONGEST_PREVIEW)
    if texts is None or not isinstance(entry.get("size_bytes"), int) or not isinstance(entry.get("lost"), bool):
        return None
    shape = entry.get("shape")
    if shape is not None and not (isinstance(shape, list) and all(isinstance(length, int) for length in shape)):
        return None
    numbers = {"size_bytes": entry["size_bytes"], "shape": None if shape is None else shape[:MOST_DIMENSIONS]}
    return {**texts, **numbers, "lost": entry["lost"]}
