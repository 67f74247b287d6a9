r"""File names as a model reads and writes them. Pure.

A byte that is not UTF-8, or a control character, is shown as `\xNN`, and found again by that; a name is found whether
its accents and syllables are composed or not.
"""

import os
import re
import unicodedata
from collections.abc import Iterator

from langchain_core.tools import ToolException

__all__ = ["parts_of", "shown", "spellings"]

_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST = 4096


def shown(name: bytes) -> str:
    """A name or path as text that any provider takes."""
    text = name.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: "".join(f"\\x{byte:02x}" for byte in match[0].encode()), text)


def parts_of(path: str, *, hidden: bool) -> list[str]:
    """The names of a relative path; none of them for the root itself.

    Raises:
        ToolException: it is absolute, leads up, names what is hidden, or is no path.
    """
    if _CONTROL.search(path) or len(path) > _LONGEST or not _encodes(path):
        raise ToolException("That is no path: it has characters that no path has, or is too long.")
    if path.startswith(("/", "~")) or os.path.isabs(path):
        raise ToolException(f"{path!r} is not relative: paths are relative to the root; list_files() shows it.")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ToolException(f"{path!r} leads up by '..': paths stay beneath the root.")
    if not hidden and any(part.startswith(".") for part in parts):
        raise ToolException(f"{path!r} is hidden (a name begins with a dot), and what is hidden is not open to you.")
    return parts


def spellings(path: str) -> Iterator[bytes]:
    """The byte paths that a written path may mean, likeliest first."""
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    plain = [form.encode("utf-8", "surrogateescape") for form in forms]
    unescaped = [_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), form) for form in plain]
    yield from dict.fromkeys(form for form in [*plain, *unescaped] if b"\0" not in form and not _leads_up(form))


def _encodes(path: str) -> bool:
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _leads_up(path: bytes) -> bool:
    return path.startswith(b"/") or b".." in path.split(b"/")
