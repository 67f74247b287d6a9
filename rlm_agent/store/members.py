"""What is asked of the members of any archive: harmless names, and no more bytes than the caps allow.

Invariant: an archive is only ever read forward, piece by piece, and nothing is written under a member's name. One
hostile member refuses the whole archive, by a ConfigError that names it; so does damage.
"""

import io
import lzma
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from rlm_agent.errors import ConfigError
from rlm_agent.store.caps import Caps
from rlm_agent.store.charset import CHUNK

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DAMAGE", "VERSION_CONTROL", "Flow", "Member", "Meter"]

VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", "_darcs", "CVS"})
"""Directories that are no part of any corpus."""

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


class Meter:
    """Counts what one archive gives, and refuses it by name.

    Args:
        where: the archive, for people.
        packed: its size in bytes.
        caps: what it may give.
    """

    def __init__(self, where: str, packed: int, caps: Caps) -> None:
        self.where = where
        self._packed = packed
        self._caps = caps
        self._member = ""
        self._members = 0
        self._bytes = 0

    def enter(self, name: str) -> str:
        """Counts a member and returns its name without empty and `.` parts; empty where it is no part of a corpus."""
        self._member = name
        self._members += 1
        self.expect(self._members)
        if not name or "\0" in name:
            self.refuse("has no usable name")
        if name.startswith(("/", "\\")) or _DRIVE.match(name):
            self.refuse("has an absolute path")
        if ".." in re.split(r"[/\\]", name):
            self.refuse("points out of the archive ('..')")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        return "" if ".git" in parts or VERSION_CONTROL.intersection(parts[:-1]) else "/".join(parts)

    def expect(self, members: int) -> None:
        """Refuses an archive that has so many members."""
        if members > self._caps.members:
            last = f", {self._member!r} the first above that" if self._member else ""
            raise ConfigError(
                f"{self.where} was not loaded: it has more than {self._caps.members:,} members{last}. Unpack it and "
                "give the directory."
            )

    def at(self, name: str) -> None:
        """Names a member that was entered before."""
        self._member = name

    def add(self, size: int) -> None:
        """Counts bytes of the member that was entered last."""
        self._bytes += size
        if self._bytes > self._caps.unpacked:
            self.refuse(f"takes it above {self._caps.unpacked:,} bytes unpacked, which is the most that is allowed")
        if self._bytes > max(self._caps.unrated, self._caps.ratio * self._packed):
            self.refuse(f"unpacks to more than {self._caps.ratio} times its size, as a bomb does")

    def refuse(self, why: str) -> NoReturn:
        """Ends the load on account of the member that was entered last."""
        raise ConfigError(
            f"{self.where} was not loaded: its member {self._member!r} {why}. Look into it; where it is to be trusted, "
            "unpack it and give the directory."
        )

    def damaged(self, error: object) -> ConfigError:
        """The error that tells of damage."""
        at = f" at its member {self._member!r}" if self._member else ""
        return ConfigError(f"{self.where} cannot be unpacked{at} ({error}): it is damaged or cut off; get it again.")


class Flow:
    """Bytes read forward, each of them metered; damage becomes a ConfigError."""

    def __init__(self, source: BinaryIO, meter: Meter, under: BinaryIO | None = None) -> None:
        self.meter = meter
        self._source = source
        self._under = under

    def read(self, size: int) -> bytes:
        """At most that many bytes; none at the end."""
        try:
            data = self._source.read(size)
        except DAMAGE as error:
            raise self.meter.damaged(error) from error
        self.meter.add(len(data))
        return data

    def up_to(self, size: int) -> bytes:
        """That many bytes, or all that are left."""
        data = self.read(size)
        while len(data) < size and (more := self.read(size - len(data))):
            data += more
        return data

    def exactly(self, size: int) -> bytes:
        """That many bytes; none at the end."""
        data = self.up_to(size)
        if 0 < len(data) < size:
            raise self.meter.damaged("unexpected end")
        return data

    def skip(self, size: int) -> None:
        """Reads over that many bytes."""
        while size > 0:
            data = self.read(min(size, CHUNK))
            if not data:
                raise self.meter.damaged("unexpected end")
            size -= len(data)

    def drain(self) -> None:
        """Reads to the end, where compressed data keeps its checksum."""
        while self.read(CHUNK):
            pass

    def close(self) -> None:
        """Closes what it reads from, and the file under that."""
        self._source.close()
        if self._under:
            self._under.close()


class Member(io.RawIOBase):
    """The next `size` bytes of a flow as a stream; where that is None, all of it, and the flow ends with the stream."""

    def __init__(self, flow: Flow, size: int | None = None) -> None:
        self._flow = flow
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        view = memoryview(buffer)
        if self.left is None:
            data = self._flow.read(len(view))
        else:
            data = self._flow.exactly(min(len(view), self.left)) if self.left else b""
            if self.left and not data:
                raise self._flow.meter.damaged("unexpected end")
            self.left -= len(data)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if self.left is None:
            self._flow.close()
        super().close()
