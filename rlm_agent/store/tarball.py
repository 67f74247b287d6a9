"""Members of a tar archive, read forward in one pass with bounded memory.

The standard library's `tarfile` reads long names and sparse maps of any size into memory and takes a damaged header for
the end; only its parser of one header block is used here. Formats: POSIX ustar and pax, GNU, old V7.
"""

import io
import re
import tarfile
from collections.abc import Generator, Iterator
from functools import partial

from rlm_agent.store.charset import CHUNK
from rlm_agent.store.members import Flow, Member
from rlm_agent.store.parts import Part

__all__ = ["BLOCK", "is_tar", "members"]

BLOCK = 512

_EXTENSION_BYTES = 1 << 20
_GLOBAL = b"g"
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_PAX_LENGTH = re.compile(rb"(\d{1,9}) ")
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_REFUSED = {
    tarfile.LNKTYPE: "is a link",
    tarfile.SYMTYPE: "is a link",
    tarfile.CHRTYPE: "is a device",
    tarfile.BLKTYPE: "is a device",
    tarfile.FIFOTYPE: "is a named pipe",
    tarfile.GNUTYPE_SPARSE: "is a sparse file",
}


def is_tar(block: bytes) -> bool:
    """Whether the first 512 bytes are those of a tar archive that is not empty."""
    try:
        _parsed(block)
    except tarfile.HeaderError:
        return False
    return True


def members(flow: Flow, where: str) -> Generator[Part, None, None]:
    """The files, each to be read before the next is asked for."""
    for header in _headers(flow):
        name = flow.meter.enter(header.name)
        if header.type in _REFUSED:
            flow.meter.refuse(_REFUSED[header.type])
        member = Member(flow, header.size)
        if name and header.type in _FILES:
            label = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            yield Part(label, f"{where}: {label}", partial(io.BufferedReader, member, CHUNK))
        flow.skip((member.left or 0) + _padding(header.size))
    flow.drain()


def _headers(flow: Flow) -> Iterator[tarfile.TarInfo]:
    """One header for each member, with the name and size that the headers before it may tell."""
    told: dict[str, str] = {}
    while header := _header(flow):
        if header.type in (*_LONG, *_PAX):
            told |= _extension(flow, header)
        elif header.type == _GLOBAL:
            flow.skip(header.size + _padding(header.size))
        else:
            yield _completed(flow, header, told)
            told = {}


def _header(flow: Flow) -> tarfile.TarInfo | None:
    block = flow.exactly(BLOCK)
    try:
        header = _parsed(block)
    except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]  # typeshed lacks them
        return None
    except tarfile.HeaderError as error:
        raise flow.meter.damaged(error) from error
    if header.size < 0:
        raise flow.meter.damaged("negative size")
    return header


def _completed(flow: Flow, header: tarfile.TarInfo, told: dict[str, str]) -> tarfile.TarInfo:
    header.name = told.get("path", header.name)
    size = told.get("size", str(header.size))
    if not size.isdecimal():
        raise flow.meter.damaged("a size that is no number")
    header.size = 0 if header.isdir() else int(size)
    if any(key.startswith("GNU.sparse.") for key in told):
        header.type = tarfile.GNUTYPE_SPARSE
    return header


def _extension(flow: Flow, header: tarfile.TarInfo) -> dict[str, str]:
    """What a header of its own tells about the next member."""
    if header.size > _EXTENSION_BYTES:
        flow.meter.enter(header.name.lstrip("/"))
        flow.meter.refuse(f"is a header of {header.size:,} bytes")
    data = flow.exactly(header.size + _padding(header.size))[: header.size]
    if header.type in _PAX:
        return _records(flow, data)
    name = data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    return {"path": name} if header.type == tarfile.GNUTYPE_LONGNAME else {}


def _records(flow: Flow, data: bytes) -> dict[str, str]:
    """The "length key=value" lines of a pax header (POSIX.1-2001, pax, extended header)."""
    found, at = {}, 0
    while at < len(data):
        match = _PAX_LENGTH.match(data, at)
        end = at + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(data):
            raise flow.meter.damaged("a pax header that cannot be read")
        key, _, value = data[match.end() : end - 1].decode("utf-8", "surrogateescape").partition("=")
        found[key] = value
        at = end
    return found


def _parsed(block: bytes) -> tarfile.TarInfo:
    return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")


def _padding(size: int) -> int:
    return -size % BLOCK
