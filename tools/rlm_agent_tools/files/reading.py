"""A file's bytes and text, and `read_file`, which gives a page of it."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langchain_core.tools import ToolException

from rlm_agent_tools.files.jail import Jail
from rlm_agent_tools.paging import page_of, page_with_line
from rlm_agent_tools.text import NotText, decoded
from rlm_agent_tools.untrusted import framed

__all__ = ["MOST_BYTES", "FileText", "read_descriptor", "reader"]

MOST_BYTES = 20_000_000
"""Bytes of a file that is read or searched, at most."""


@dataclass(frozen=True, slots=True)
class FileText:
    """A text file, read."""

    path: str
    text: str
    sha256: str
    date: str

    def source(self) -> dict[str, Any]:
        """It as a source of `LLMResult.sources`."""
        return {"path": self.path, "title": self.path.rpartition("/")[2], "date": self.date, "sha256": self.sha256}


def read_descriptor(descriptor: int, path: str) -> FileText:
    """The text of an open file.

    Raises:
        ToolException: it is too large, or no text.
    """
    found = os.fstat(descriptor)
    data = b""
    if found.st_size <= MOST_BYTES:
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MOST_BYTES + 1)
    if found.st_size > MOST_BYTES or len(data) > MOST_BYTES:
        raise ToolException(f"{path!r} has more than {MOST_BYTES:,} bytes, which is the most that is read.")
    try:
        text = decoded(data)
    except NotText:
        raise ToolException(f"{path!r} is binary ({len(data):,} bytes), not text.") from None
    return FileText(path, text, hashlib.sha256(data).hexdigest(), iso(found.st_mtime))


def iso(seconds: float) -> str:
    """A time as ISO 8601, UTC, whole seconds; what no calendar has is the epoch."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00Z"


def reader(jail: Jail) -> Callable[..., tuple[str, Any]]:
    """The function of the tool `read_file`."""

    def read_file(path: str, page: int = 1, line: int | None = None) -> tuple[str, dict[str, Any]]:
        """Reads a text file, a page at a time.

        Args:
            path: relative to the root, as list_files, find_files and grep_files show it.
            page: which page, from 1.
            line: instead of a page: the one that this line is on, from 1.
        """
        try:
            with jail.file(path) as (descriptor, place):
                file = read_descriptor(descriptor, place.shown)
        except OSError as error:
            raise ToolException(f"{path!r} cannot be read: {error.strerror}.") from error
        shown = page_with_line(file.text, line) if line is not None else page_of(file.text, page)
        head = {
            "file": file.path,
            "changed": file.date,
            "page": shown.label,
            "lines": f"{shown.first_line} to {shown.last_line}",
        }
        return framed("file", head, shown.text), {"sources": [file.source()], "links": []}

    return read_file
