"""The home's directory: its folders, its identity (`home.json`), and files that appear whole or not at all.

Invariant: directories made here are 0700 and files 0600; a home's id never changes once written.
"""

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rlm_agent.crash_points import reach
from rlm_agent.errors import HomeError, StateVersionError
from rlm_agent.store.claims import claim
from rlm_agent.store.failures import explained

__all__ = ["HOME_VERSION", "prepare", "private_file", "publish", "publish_new", "sync_directory"]

HOME_VERSION = 1
_FOLDERS = ("blobs", "corpora", "tmp")
_STALE_SECONDS = 24 * 3600.0


def prepare(path: Path) -> str:
    """Makes the directory a home where it is none yet, and returns the home's id.

    Raises:
        HomeError: it cannot be made or read.
        StateVersionError: a newer version of this package made it.
    """
    with explained(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = _identity(path) or _create(path)
        for folder in _FOLDERS:
            (path / folder).mkdir(mode=0o700, exist_ok=True)
        _sweep(path / "tmp")
        return known


@contextmanager
def private_file(path: Path) -> Iterator[int]:
    """A new file for this user only, as a descriptor; synced to disk when the block ends well."""
    with _claimed_file(path) as descriptor:
        yield descriptor
        os.fsync(descriptor)


@contextmanager
def _claimed_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        claim(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def publish(
    data: bytes | memoryview, target: Path, tmp: Path, *, lock: AbstractContextManager[None] | None = None
) -> None:
    """Writes a file so that it is there whole and on disk, or not at all, whenever the machine stops.

    Args:
        data: all of it.
        target: where it is to be.
        tmp: where it is drafted, on the same file system.
        lock: held while it takes its place.
    """
    draft = tmp / uuid.uuid4().hex
    try:
        with _claimed_file(draft) as descriptor:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(descriptor)
            reach("file.drafted")
            with lock or nullcontext():
                os.replace(draft, target)
            reach("file.renamed")
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(target.parent)


def publish_new(data: bytes, target: Path) -> None:
    """Writes a file beside the home, whole or not at all.

    Raises:
        FileExistsError: it is there already, and stays as it is.
    """
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with private_file(draft) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.link(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Makes renames in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _identity(path: Path) -> str | None:
    file = path / "home.json"
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return None
    try:
        content: dict[str, Any] = json.loads(text)
        version, identity = int(content["rlm_home"]), str(content["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(f"{file} is not a home's description: restore it, or give another directory.") from error
    if version > HOME_VERSION:
        raise StateVersionError(
            f"{file} has version {version}, this version of langgraph-rlm knows up to {HOME_VERSION}: "
            "upgrade langgraph-rlm (pip install -U langgraph-rlm)."
        )
    return identity


def _create(path: Path) -> str:
    lock = os.open(path / "home.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _identity(path) or _describe(path)
    finally:
        os.close(lock)


def _describe(path: Path) -> str:
    if [entry.name for entry in path.iterdir()] == ["home.lock"]:
        path.chmod(0o700)
    identity = uuid.uuid4().hex
    content = {"rlm_home": HOME_VERSION, "id": identity, "created": time.time()}
    publish(json.dumps(content).encode(), path / "home.json", path)
    return identity


def _sweep(tmp: Path) -> None:
    """Removes what killed processes left half written."""
    for entry in tmp.iterdir():
        try:
            if time.time() - entry.stat().st_mtime < _STALE_SECONDS:
                continue
        except FileNotFoundError:
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
