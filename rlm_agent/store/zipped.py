"""Members of a zip archive. All names and kinds are checked before the first byte is read.

Invariant: of a zip's table of contents no more than `_TABLE_BYTES` come into memory. Only stored and deflated members
are read: the standard library unpacks the other kinds a whole block at a time, whatever its size.
"""

import io
import stat
import struct
import zipfile
from collections.abc import Generator
from functools import partial
from typing import BinaryIO, cast

from rlm_agent.errors import ConfigError
from rlm_agent.store.charset import CHUNK
from rlm_agent.store.codepages import east_asian
from rlm_agent.store.members import DAMAGE, Flow, Member, Meter
from rlm_agent.store.parts import Opener, Part

__all__ = ["SIGNATURES", "members"]

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")

_TABLE_BYTES = 32 << 20
_ENTRY = b"PK\x01\x02"
_ENCRYPTED, _UTF8 = 0x1, 0x800
_OFFICE = ({"[Content_Types].xml"}, {"mimetype", "content.xml"})
_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)


class _Table:
    """A file that gives at once no more than a table of contents may have: that is the one long read."""

    def __init__(self, file: BinaryIO, meter: Meter) -> None:
        self._file = file
        self._meter = meter
        self._size = file.seek(0, io.SEEK_END)
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        wanted = size if size >= 0 else self._size - self._file.tell()
        if wanted > _TABLE_BYTES:
            raise self._meter.damaged(f"a table of contents of {wanted:,} bytes")
        data = self._file.read(wanted)
        self._meter.expect(data.count(_ENTRY))
        return data


def members(opened: Opener, where: str, meter: Meter) -> Generator[Part, None, None]:
    """The files, each to be read before the next is asked for."""
    with opened() as file, _archive(_Table(file, meter), meter) as archive:
        for name, info in _checked(archive.infolist(), where, meter):
            yield Part(name, f"{where}: {name}", partial(_stream, archive, info, name, meter))


def _archive(table: _Table, meter: Meter) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(cast(BinaryIO, table))
    except (*DAMAGE, NotImplementedError, ValueError, struct.error) as error:
        raise meter.damaged(error) from error


def _checked(infos: list[zipfile.ZipInfo], where: str, meter: Meter) -> list[tuple[str, zipfile.ZipInfo]]:
    """The files with their names."""
    found = []
    for given, info in zip(_names(infos), infos, strict=True):
        name = meter.enter(given)
        if why := _objection(info):
            meter.refuse(why)
        if name and not given.endswith("/"):
            found.append((name, info))
    if any(office <= {name for name, _ in found} for office in _OFFICE):
        raise ConfigError(f"{where} is an office document, not text: convert it to text first.")
    return found


def _objection(info: zipfile.ZipInfo) -> str:
    """Why a member is not read; empty where it may be."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in _KINDS:
        return "is a link" if kind == stat.S_IFLNK else "is a device"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by a method that is not supported ({info.compress_type})"
    return ""


def _names(infos: list[zipfile.ZipInfo]) -> list[str]:
    """The names as they were meant: those without the mark of UTF-8 may be UTF-8 all the same, or East Asian."""
    names = [info.orig_filename for info in infos]
    unmarked = {
        name: name.encode("cp437")
        for name, info in zip(names, infos, strict=True)
        if not (info.flag_bits & _UTF8 or name.isascii())
    }
    for codec in ("utf-8", east_asian(list(unmarked.values()))):
        try:
            meant = {name: data.decode(codec) for name, data in unmarked.items()}
        except (UnicodeDecodeError, LookupError):
            continue
        return [meant.get(name, name) for name in names]
    return names


def _stream(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, meter: Meter) -> BinaryIO:
    meter.at(name)
    try:
        opened = cast(BinaryIO, archive.open(info))
    except (*DAMAGE, NotImplementedError, RuntimeError, ValueError) as error:
        raise meter.damaged(error) from error
    return io.BufferedReader(Member(Flow(opened, meter)), CHUNK)
