"""Large inputs, each copied into the home once, under the digest of what it holds.

    corpora/<digest>/data     one file of UTF-8 text, all texts one after the other; or msgpack of one value
    corpora/<digest>/index    msgpack {"version", "kind", "entries": [(name, byte offset, byte length), ...]}

Invariant: the directory of a digest is there whole and synced, or not at all, and is never changed. A handle is plain
JSON that names a corpus; whoever holds one may read that corpus here and nothing else. A directory's time is when it
was last loaded or taken up by a question.
"""

import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgpack

from rlm_agent.crash_points import reach
from rlm_agent.errors import ConfigError, HomeError, SnapshotCorrupt
from rlm_agent.repl.kernel import ContextSource
from rlm_agent.store.caps import Caps
from rlm_agent.store.claims import claimed_directory, using
from rlm_agent.store.database import Database
from rlm_agent.store.draft import Draft, digest_of
from rlm_agent.store.failures import explained
from rlm_agent.store.handle import DIGEST, Handle, is_handle
from rlm_agent.store.intake import Intake, take_in
from rlm_agent.store.layout import private_file, sync_directory
from rlm_agent.store.plain import pack, unpack
from rlm_agent.store.sources import Desk
from rlm_agent.store.versions import check_version

__all__ = ["RAW_BYTES", "Corpora", "Handle", "is_handle"]

RAW_BYTES = 10**6
"""Up to this size a value may be given as it is, without `Corpus.load`."""

_VERSION = 1
_NAMED = 20


class Corpora:
    """The corpora of one home.

    Args:
        database: of the home.
        peers: the corpora of all homes that are open in this process.
    """

    def __init__(self, database: Database, peers: Callable[[], Iterable["Corpora"]]) -> None:
        self._database = database
        self._peers = peers

    def load(self, source: Any, caps: Caps | None = None) -> Handle:
        """Copies a source into the home, see `Corpus.load`.

        Raises:
            ConfigError: something in it cannot be loaded.
            HomeError: the home cannot take it.
        """
        if is_handle(source):
            return self.adopt(source)
        with self._directory_in_tmp() as scratch, self._draft() as draft:
            intake = take_in(draft, source, Desk(self._database.path, scratch, caps or Caps(), self._held))
            return self._keep(draft, intake)

    def put_value(self, value: Any, most: int | None = RAW_BYTES) -> Handle:
        """Stores a text, list or dict that a caller gave as it is.

        Args:
            value: the value.
            most: bytes that it may have; None: any number.

        Raises:
            ConfigError: it is larger, or no plain JSON.
        """
        data = _value_bytes(value)
        if most is not None and len(data) > most:
            raise ConfigError(
                f"The context has {len(data):,} bytes; above {RAW_BYTES:,} give it as Corpus.load(...), which takes a "
                "text, a file or a directory of any size."
            )
        with self._draft() as draft:
            draft.add_bytes("", data)
            draft.chars = len(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            return self._keep(draft, Intake("value", "text" if isinstance(value, str) else "json"))

    @staticmethod
    def is_handle(value: object) -> bool:
        """Whether a value is the handle of a corpus, of this home or another."""
        return is_handle(value)

    def holds(self, digest: str) -> bool:
        """Whether this home has a corpus, whole."""
        return bool(DIGEST.match(digest)) and self._index(digest) is not None

    def adopt(self, handle: Mapping[str, Any]) -> Handle:
        """A handle that this home can serve: the same, or that of a copy from another open home.

        Raises:
            ConfigError: neither this home nor an open one holds it.
        """
        if not is_handle(handle):
            raise ConfigError("This is not the handle of a corpus: make one with Corpus.load(...).")
        check_version(handle["rlm_corpus"], f"Corpus {handle['digest']}")
        if self._found(handle["digest"]):
            return dict(handle)
        for peer in self._peers():
            if peer._database.id == handle.get("home") and peer.holds(handle["digest"]):
                self._copy(peer._directory(handle["digest"]), handle["digest"])
                return {**handle, "home": self._database.id}
        raise ConfigError(
            f"Corpus {handle['digest']} ({handle.get('name')}) belongs to the home {handle.get('home')}; this home is "
            f"{self._database.id} ({self._database.path}) and does not hold it. Load it here again with "
            "Corpus.load(source, home=...), or open the home that holds it in this process."
        )

    def source(self, handle: Mapping[str, Any]) -> ContextSource:
        """Where a worker reads a corpus from.

        Raises:
            HomeError: this home does not hold it, or not all of it.
        """
        directory = self._directory(str(handle["digest"]))
        index = self._index(str(handle["digest"]))
        if index is None:
            raise HomeError(
                f"Corpus {handle['digest']} is missing or damaged in {directory}: load it again, "
                f"Corpus.load(source, home={str(self._database.path)!r})."
            )
        kind = index["kind"]
        entries = tuple((name, offset, length) for name, offset, length in index["entries"])
        return ContextSource(kind, directory / "data", entries if kind == "files" else ())

    def _found(self, digest: str) -> bool:
        """Whether the corpus is there, whole; if so it counts as loaded now."""
        self._database.open()
        with explained(self._database.path), using(self._database.path):
            whole = self.holds(digest)
            if whole:
                os.utime(self._directory(digest))
        return whole

    def receive(self, digest: str, data: IO[bytes], index: bytes) -> None:
        """Takes in a corpus that was carried here from another home, unless it is here.

        Args:
            digest: of what it is to hold.
            data, index: its files.

        Raises:
            SnapshotCorrupt: it is not what its digest says.
        """
        if self._found(digest):
            return
        with self._directory_in_tmp() as directory, explained(directory):
            for name, stream in (("data", data), ("index", io.BytesIO(index))):
                with (
                    private_file(directory / name) as descriptor,
                    open(descriptor, "wb", closefd=False) as copy,
                ):
                    shutil.copyfileobj(stream, copy)
            if digest_of(directory) != digest:
                raise SnapshotCorrupt(f"Corpus {digest} is damaged: what it holds does not hash to its digest.")
            self._install(directory, digest)

    def _held(self, handle: Mapping[str, Any]) -> ContextSource:
        return self.source(self.adopt(handle))

    def _directory(self, digest: str) -> Path:
        return self._database.path / "corpora" / digest

    def _index(self, digest: str) -> dict[str, Any] | None:
        """The index of a corpus; None where that or the data is missing or damaged."""
        directory = self._directory(digest)
        try:
            size = (directory / "data").stat().st_size
            index: dict[str, Any] = unpack((directory / "index").read_bytes())
            version, whole = index["version"], size == sum(length for _, _, length in index["entries"])
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
            return None
        check_version(version, f"Corpus {digest}")
        return index if whole else None

    @contextmanager
    def _draft(self) -> Iterator[Draft]:
        """A draft in a directory of its own."""
        with self._directory_in_tmp() as directory, private_file(directory / "data") as descriptor:
            yield Draft(directory, descriptor)

    @contextmanager
    def _directory_in_tmp(self) -> Iterator[Path]:
        """A new directory that is gone afterwards unless it was renamed."""
        self._database.open()
        directory = self._database.tmp / uuid.uuid4().hex
        with explained(directory):
            directory.mkdir(mode=0o700)
        try:
            with claimed_directory(directory):
                yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _keep(self, draft: Draft, intake: Intake) -> Handle:
        digest = draft.digest(intake.kind)
        if not self._found(digest):
            index = {"version": _VERSION, "kind": intake.kind, "entries": draft.entries}
            with explained(draft.directory):
                os.fsync(draft.descriptor)
                with private_file(draft.directory / "index") as descriptor:
                    os.write(descriptor, pack(index))
                self._install(draft.directory, digest)
        recoded = {name or intake.name: label for name, label in islice(draft.recoded.items(), _NAMED)}
        return {
            "rlm_corpus": _VERSION,
            "digest": digest,
            "kind": intake.kind,
            "chars": draft.chars,
            "bytes": draft.size,
            "files": intake.files,
            "recoded": len(draft.recoded),
            "recoded_as": recoded,
            "skipped": intake.skipped[:_NAMED],
            "skipped_count": len(intake.skipped),
            "ignored": intake.ignored,
            "home": self._database.id,
            "name": intake.name,
        }

    def _copy(self, origin: Path, digest: str) -> None:
        with self._directory_in_tmp() as directory, explained(directory):
            for name in ("data", "index"):
                with (
                    private_file(directory / name) as descriptor,
                    open(descriptor, "wb", closefd=False) as copy,
                    open(origin / name, "rb") as file,
                ):
                    shutil.copyfileobj(file, copy)
            self._install(directory, digest)

    def _install(self, directory: Path, digest: str) -> None:
        """Renames a finished directory to its digest; a damaged one that stands there gives way."""
        target = self._directory(digest)
        sync_directory(directory)
        with using(self._database.path):
            if target.exists() and not self.holds(digest):
                target.rename(self._database.tmp / uuid.uuid4().hex)
            reach("corpus.drafted")
            try:
                directory.rename(target)
            except OSError:
                if not self.holds(digest):  # otherwise another process was first, with the same content
                    raise
                os.utime(target)
        sync_directory(target.parent)
        reach("corpus.installed")


def _value_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if not isinstance(value, list | dict):
        raise ConfigError(
            f"The context is a {type(value).__name__}: give a str, list or dict, or Corpus.load(...); "
            "where the state key means something else, set input_key to another name or None."
        )
    try:
        json.dumps(value)
        packed: bytes = msgpack.packb(_string_keys(value), unicode_errors="replace")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"The context is no plain JSON ({error}): convert it, or give it as text.") from error
    return packed


def _string_keys(value: Any) -> Any:
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"the key {wrong[0]!r} is no str")
        return {key: _string_keys(item) for key, item in value.items()}
    return [_string_keys(item) for item in value] if isinstance(value, list | tuple) else value
