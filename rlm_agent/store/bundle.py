"""The archive that carries a run from one home to another: what is in it, and what is refused in one.

    manifest.json             {"rlm_export": 3, "python", "thread", "name", "run", "start"}
    records.msgpack           one [table, [values]] after the other; values in the order of TABLES
    blobs/<key>               snapshots, outputs, bodies: bytes under the digest of themselves
    corpora/<digest>/data, corpora/<digest>/index
    pages/<day>/<sha256 of the address>    web pages that its sub-agents read, as `pages.py` keeps them

Invariant: a zip whose members have these names, each once, and no key material. Who reads one trusts nothing in it:
names, counts, sizes and types are checked here, digests and how records fit together by `incoming.py`.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgpack

from rlm_agent.errors import ConfigError, StateVersionError
from rlm_agent.store.pages import PAGE_NAME

__all__ = ["FORMAT", "MANIFEST", "RECORDS", "TABLES", "Bundle", "opened"]

FORMAT = 3
MANIFEST = "manifest.json"
RECORDS = "records.msgpack"

TABLES: Mapping[str, Mapping[str, str]] = {
    "runs": {
        "id": "text",
        "thread": "text?",
        "path": "text",
        "name": "text",
        "created": "number",
        "salt": "text",
        "version": "int",
        "head": "text?",
        "forked_from": "text?",
        "forked_at": "int?",
        "question": "int?",
        "removed": "int",
        "parent": "text?",
        "call": "text?",
    },
    "questions": {
        "run": "text",
        "number": "int",
        "find_key": "text?",
        "status": "text",
        "stopped_by": "text?",
        "active_seconds": "number",
        "created": "number",
        "version": "int",
        "body": "bytes",
        "result": "bytes?",
    },
    "turns": {"id": "text", "version": "int", "body": "bytes"},
    "snapshots": {"turn": "text", "snapshot": "text"},
    "steps": {
        "key": "text",
        "run": "text",
        "question": "int",
        "turn": "int",
        "kind": "text",
        "role": "text",
        "model": "text",
        "calls": "int",
        "input_tokens": "int",
        "output_tokens": "int",
        "cached_tokens": "int",
        "usd": "number?",
        "seconds": "number",
        "at": "number",
        "version": "int",
        "body": "bytes?",
        "body_ref": "text?",
        "child": "text",
    },
    "notes": {"id": "int", "run": "text", "text": "text", "message_id": "text?", "at": "number", "turn": "int?"},
    "adopted_notes": {"run": "text", "note": "int"},
    "extensions": {"run": "text", "question": "int", "bound": "text", "amount": "number", "at": "number"},
}
"""The columns of each table that travel, and what each holds; "?" is for None. Signatures and leases stay at home."""

_SINCE_2: Mapping[str, list[Any]] = {"runs": [None, None], "steps": [""]}
"""Values of the last columns of a table, in archives of format 1."""

_TYPES: Mapping[str, tuple[type, ...]] = {"text": (str,), "int": (int,), "number": (int, float), "bytes": (bytes,)}
_NAME = re.compile(
    rf"manifest\.json|records\.msgpack|blobs/[0-9a-f]{{64}}|corpora/[0-9a-f]{{64}}/(?:data|index)|pages/{PAGE_NAME}",
    re.ASCII,
)
_MANIFEST_BYTES = 1 << 20
_RECORD_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Caps:
    """Bounds of one archive.

    Attributes:
        members: how many.
        unpacked: bytes of all of them.
        records: bytes of the records alone, which are held in memory.
    """

    members: int = 1 << 20
    unpacked: int = 64 * 10**9
    records: int = 2 * 10**9


class Bundle:
    """An archive that is read.

    Attributes:
        sizes: bytes of each member, unpacked.
        manifest: what the archive says of itself.
    """

    def __init__(self, file: Path, archive: zipfile.ZipFile, caps: Caps) -> None:
        self._file, self._archive = file, archive
        self.sizes = {info.filename: info.file_size for info in archive.infolist()}
        self._check_members(archive.infolist(), caps)
        self.manifest = self._read_manifest()

    @property
    def unpacked(self) -> int:
        """Bytes that it unpacks to."""
        return sum(self.sizes.values())

    def names(self, folder: str) -> list[str]:
        """What is below "blobs" or "corpora": keys, digests; or below "pages": their names."""
        depth = 3 if folder == "pages" else 2
        return sorted({"/".join(name.split("/")[1:depth]) for name in self.sizes if name.startswith(f"{folder}/")})

    def read(self, name: str) -> bytes:
        """A member, whole.

        Raises:
            ConfigError: there is none, or it is damaged.
        """
        with self.member(name) as stream:
            return stream.read()

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """A member, to be read.

        Raises:
            ConfigError: there is none, or it is damaged.
        """
        try:
            with self._archive.open(name) as stream:
                yield stream
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise self.bad(f"{name} cannot be read: {error}") from error

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All records: the table, and the values by column.

        Raises:
            ConfigError: one is none.
        """
        with self.member(RECORDS) as stream:
            unpacker = msgpack.Unpacker(stream, max_buffer_size=_RECORD_BYTES)
            try:
                for record in unpacker:
                    yield self._checked(record)
            except (ValueError, TypeError, msgpack.UnpackException) as error:
                raise self.bad(f"{RECORDS} is damaged: {error}") from error

    def bad(self, why: str) -> ConfigError:
        """The error that says what is wrong with this archive."""
        return ConfigError(f"{self._file} cannot be imported: {why}. Nothing was changed; export the run again.")

    def _check_members(self, members: list[zipfile.ZipInfo], caps: Caps) -> None:
        if len(members) > caps.members or self.unpacked > caps.unpacked:
            raise self.bad(f"it has {len(members):,} members that unpack to {self.unpacked:,} bytes")
        if len(self.sizes) != len(members):
            raise self.bad("a name in it is there twice")
        for info in members:
            if not _NAME.fullmatch(info.filename) or info.flag_bits & 1:
                raise self.bad(f"it holds {info.filename[:80]!r}, which no export holds")
        if self.sizes.get(RECORDS, 0) > caps.records:
            raise self.bad(f"its records are {self.sizes[RECORDS]:,} bytes")

    def _read_manifest(self) -> dict[str, Any]:
        with self.member(MANIFEST) as stream:
            text = stream.read(_MANIFEST_BYTES)
        try:
            manifest = json.loads(text)
            version = manifest["rlm_export"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self.bad(f"its {MANIFEST} is not that of an export") from error
        if not isinstance(version, int) or version > FORMAT:
            raise StateVersionError(
                f"{self._file} was exported in version {version!r:.20} of the format, this version of langgraph-rlm "
                f"knows {FORMAT}: upgrade langgraph-rlm (pip install -U langgraph-rlm)."
            )
        return dict(manifest)

    def _checked(self, record: Any) -> tuple[str, dict[str, Any]]:
        table, values = record
        columns = TABLES.get(table) if isinstance(table, str) else None
        if self.manifest["rlm_export"] < 2 and isinstance(values, list):
            values = [*values, *_SINCE_2.get(table, ())]
        if columns is None or not isinstance(values, list) or len(values) != len(columns):
            raise ValueError(f"a record of {str(table)[:40]!r} is not as records are")
        for value, (column, kind) in zip(values, columns.items(), strict=True):
            if not _fits(value, kind):
                raise ValueError(f"{column} of a record of {table} is a {type(value).__name__}")
        return table, dict(zip(columns, values, strict=True))


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return kind.endswith("?")
    return isinstance(value, _TYPES[kind.rstrip("?")]) and not isinstance(value, bool)


@contextmanager
def opened(file: Path, caps: Caps | None = None) -> Iterator[Bundle]:
    """An archive, its members and manifest checked.

    Raises:
        ConfigError: it is none, or holds what none holds.
        StateVersionError: a newer version wrote it.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ConfigError(f"{file} cannot be imported: {error}. Give a file that `rlm export` wrote.") from error
    with archive:
        yield Bundle(file, archive, caps or Caps())
