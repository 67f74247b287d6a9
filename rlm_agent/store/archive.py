"""Archives and compressed files, known by their first bytes, as sources of texts.

A zip or tar archive becomes a dict of its members' paths to their texts, a compressed text that text. Nothing is
unpacked to a file of a member's name. What is in an archive inside an archive or directory is not unpacked.
"""

import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from typing import BinaryIO

from rlm_agent.errors import ConfigError
from rlm_agent.store import tarball, zipped
from rlm_agent.store.caps import Caps
from rlm_agent.store.charset import CHUNK
from rlm_agent.store.compression import Unpack, decompressor
from rlm_agent.store.members import Flow, Member, Meter
from rlm_agent.store.parts import Opener, Part, Source

__all__ = ["Packed", "unpacked"]

_FOREIGN = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar", b"\x28\xb5\x2f\xfd": "zstd"}
_SUFFIX = re.compile(r"\.(gz|bz2|xz)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Packed:
    """Bytes that may be an archive: its name for people, short and in full, its size, and how to open it."""

    name: str
    where: str
    size: int
    opened: Opener
    declared: str = ""


def unpacked(packed: Packed, caps: Caps) -> Source | None:
    """What an archive holds; None where the bytes are none.

    Raises:
        ConfigError: it is of a kind that is not unpacked, or damaged at its beginning.
    """
    with packed.opened() as file:
        head = file.read(tarball.BLOCK)
    if head.startswith(zipped.SIGNATURES):
        return _archive(packed, zipped.members(packed.opened, packed.where, _meter(packed, caps)))
    if kind := next((kind for magic, kind in _FOREIGN.items() if head.startswith(magic)), None):
        raise ConfigError(f"Corpus.load does not unpack {kind} data: unpack {packed.where} and give what it holds.")
    unpack = decompressor(head)
    if unpack:
        with closing(_flow(packed, unpack, caps)) as flow:
            head = flow.up_to(tarball.BLOCK)
    if tarball.is_tar(head):
        return _archive(packed, _tar(packed, unpack, caps))
    if not unpack:
        return None
    name = _SUFFIX.sub("", packed.name)
    content = partial(_text, packed, unpack, caps)
    return Source.of(name, Part("", packed.where, content, packed.declared), files=1)


def _archive(packed: Packed, parts: Generator[Part, None, None]) -> Source:
    return Source(packed.name, packed.where, parts, lone=False, noun="archive", unordered=True)


def _tar(packed: Packed, unpack: Unpack | None, caps: Caps) -> Generator[Part, None, None]:
    with closing(_flow(packed, unpack, caps)) as flow:
        yield from tarball.members(flow, packed.where)


def _text(packed: Packed, unpack: Unpack, caps: Caps) -> BinaryIO:
    return BufferedReader(Member(_flow(packed, unpack, caps)), CHUNK)


def _flow(packed: Packed, unpack: Unpack | None, caps: Caps) -> Flow:
    meter = _meter(packed, caps)
    meter.at(_SUFFIX.sub("", packed.name))
    file = packed.opened()
    return Flow(unpack(file) if unpack else file, meter, file)


def _meter(packed: Packed, caps: Caps) -> Meter:
    return Meter(packed.where, packed.size, caps)
