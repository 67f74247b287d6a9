"""What a caller may name as a source, and how each is opened.

Invariant: to recognise a source reads nothing but whether files exist, so that a slip in a long list is told at once;
what it holds is read when it is opened.
"""

import io
import os
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rlm_agent.errors import ConfigError
from rlm_agent.repl.kernel import ContextSource
from rlm_agent.store.archive import Packed, unpacked
from rlm_agent.store.caps import Caps
from rlm_agent.store.directory import WILD, fixed_part, from_directory, from_glob, opened_file, printable
from rlm_agent.store.download import ADDRESS, fetch, shown, trail
from rlm_agent.store.handle import Handle, is_handle
from rlm_agent.store.parts import Part, Source
from rlm_agent.store.stored import from_stored

__all__ = ["Desk", "Named", "recognised"]

_TEXT_CHARS = 4096
_SUFFIX = re.compile(r"\.\w{1,8}$")
_AS_TEXT = "To give text of one line, pass it as bytes: text.encode()."


@dataclass(frozen=True, slots=True)
class Desk:
    """What opening a source needs of the home.

    Attributes:
        avoid: a directory that is no part of any corpus: the home itself.
        scratch: an empty directory for this load alone.
        caps: bounds of what it may bring.
        held: where a corpus is, whose handle is given.
    """

    avoid: Path
    scratch: Path
    caps: Caps
    held: Callable[[Mapping[str, Any]], ContextSource]


@dataclass(frozen=True, slots=True)
class Named:
    """A source that was recognised.

    Attributes:
        trail: the folders above it and its own name; empty for what has none.
        open: reads what it is.
    """

    trail: tuple[str, ...]
    open: Callable[[Desk], Source]


def recognised(source: Any) -> Named:
    """Tells what a single source is.

    Raises:
        ConfigError: it is nothing that can be loaded; the message names it.
    """
    if isinstance(source, str):
        return _string(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return Named((), partial(_open_bytes, bytes(source)))
    if isinstance(source, os.PathLike):
        return _path(Path(source).expanduser())
    if is_handle(source):
        return Named((str(source.get("name") or "corpus"),), partial(_open_handle, source))
    raise ConfigError(
        f"Corpus.load cannot load a {type(source).__name__}: give text, bytes, a path, a glob, an address, a handle, "
        "or a list or dict of these."
    )


def _string(source: str) -> Named:
    if not source or "\n" in source or len(source) > _TEXT_CHARS:
        return Named((), partial(_open_text, source))
    if ADDRESS.match(source):
        return Named(trail(source), partial(_open_address, source))
    path = Path(source).expanduser()
    if os.path.exists(path) or WILD.search(source):
        return _path(path)
    if os.sep in source or _SUFFIX.search(source):
        raise ConfigError(f"No such file or directory: {source}. {_AS_TEXT}")
    return Named((), partial(_open_text, source))


def _path(path: Path) -> Named:
    names = _trail(path)
    if path.is_dir():
        return Named(names, lambda desk: from_directory(path, desk.avoid))
    if path.is_file():
        return Named(names, partial(_open_file, path))
    if os.path.exists(path):
        raise ConfigError(f"{path} is neither a file nor a directory: copy what it gives into a file.")
    if WILD.search(str(path)):
        return Named(_trail(fixed_part(path)), lambda desk: from_glob(path, desk.avoid))
    raise ConfigError(f"No such file or directory: {path}.")


def _trail(path: Path) -> tuple[str, ...]:
    return tuple(printable(name) for name in Path(os.path.abspath(path)).parts[1:])


def _open_text(text: str, _: Desk) -> Source:
    return Source.of("text", Part("", "the text", text), files=0)


def _open_bytes(data: bytes, desk: Desk) -> Source:
    packed = Packed("bytes", "the bytes", len(data), partial(io.BytesIO, data))
    return unpacked(packed, desk.caps) or Source.of("bytes", Part("", packed.where, packed.opened), files=0)


def _open_file(path: Path, desk: Desk) -> Source:
    try:
        return _open_packed(Packed(path.name, str(path), path.stat().st_size, partial(opened_file, path)), desk)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error


def _open_address(address: str, desk: Desk) -> Source:
    fetched = fetch(address, desk.scratch / uuid.uuid4().hex, desk.caps.fetched)
    opened = partial(opened_file, fetched.path)
    return _open_packed(Packed(trail(address)[-1], shown(address), fetched.size, opened, fetched.declared), desk)


def _open_packed(packed: Packed, desk: Desk) -> Source:
    part = Part("", packed.where, packed.opened, packed.declared)
    return unpacked(packed, desk.caps) or Source.of(packed.name, part, files=1)


def _open_handle(handle: Handle, desk: Desk) -> Source:
    return from_stored(handle, desk.held(handle))
