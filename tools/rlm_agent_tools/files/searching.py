"""`list_files`, `find_files` and `grep_files`: what there is, by place, by name and by content.

Invariant: each ends in bounded time with a bounded answer, and says where it left something out.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from langchain_core.tools import ToolException

from rlm_agent_tools.files.globs import compiled, glob
from rlm_agent_tools.files.jail import Entry, Jail
from rlm_agent_tools.files.reading import FileText, iso, read_descriptor
from rlm_agent_tools.paging import page_of
from rlm_agent_tools.untrusted import framed

__all__ = ["finder", "grepper", "lister"]

SECONDS = 20.0
MOST_PATHS, MOST_MATCHES, MOST_A_FILE = 300, 200, 30
LINE_CHARS, ANSWER_CHARS = 300, 8000

Answer = tuple[str, dict[str, Any]]


def lister(jail: Jail) -> Callable[..., Answer]:
    """The function of the tool `list_files`."""

    def list_files(path: str = ".", page: int = 1) -> Answer:
        """Lists a directory: names, sizes, dates.

        Args:
            path: the directory, relative to the root; "." is the root itself.
            page: which page of a long list, from 1.
        """
        lines = [_described(entry) for entry in jail.entries(path)]
        shown = page_of("\n".join(lines) or "(nothing)", page)
        return framed("directory", {"directory": path, "entries": len(lines), "page": shown.label}, shown.text), _none()

    return list_files


def finder(jail: Jail) -> Callable[..., Answer]:
    """The function of the tool `find_files`."""

    def find_files(pattern: str, path: str = ".") -> Answer:
        """Finds files by name, in all directories below.

        Args:
            pattern: a glob over the path below `path`: "*.py" in it, "**/*.py" anywhere, "**/test_[ab]*/**".
            path: where to begin, relative to the root.
        """
        matches = glob(pattern)
        found: list[str] = []
        more = False
        for entry, _ in jail.walk(path, time.monotonic() + SECONDS):
            if matches.search(_below(entry.path, path)):
                more = len(found) == MOST_PATHS
                if more:
                    break
                found.append(_described(entry))
        note = f"only the first {MOST_PATHS} are shown: narrow the pattern" if more else None
        head = {"pattern": pattern, "found": len(found), "note": note}
        return framed("list of files", head, "\n".join(found) or "(none)"), _none()

    return find_files


def grepper(jail: Jail) -> Callable[..., Answer]:
    """The function of the tool `grep_files`."""

    def grep_files(pattern: str, files: str = "**", path: str = ".", ignore_case: bool = False) -> Answer:
        """Finds lines that match a regular expression, in all text files below.

        Args:
            pattern: a regular expression of RE2: no look-around, no back-references.
            files: a glob over the path below `path`: which files to look in.
            path: where to begin, relative to the root.
            ignore_case: whether case does not matter.
        """
        matches, wanted = compiled(pattern, ignore_case=ignore_case), glob(files)
        until = time.monotonic() + SECONDS
        lines: list[str] = []
        sources: list[dict[str, Any]] = []
        skipped = 0
        note = None
        for entry, place in jail.walk(path, until):
            if not wanted.search(_below(entry.path, path)):
                continue
            try:
                with jail.open(place) as descriptor:
                    file = read_descriptor(descriptor, entry.path)
            except (OSError, ToolException):
                skipped += 1
                continue
            hits = list(_hits(file, matches, until))
            if hits:
                sources.append(file.source())
                lines += hits
            if len(lines) >= MOST_MATCHES or sum(map(len, lines)) > ANSWER_CHARS:
                note = "there may be more: narrow the pattern, the files or the path"
                break
        return framed("list of matches", _head(pattern, lines, skipped, note), _cut(lines)), {
            "sources": sources,
            "links": [],
        }

    return grep_files


def _hits(file: FileText, matches: Any, until: float) -> Iterator[str]:
    count = 0
    for number, line in enumerate(file.text.split("\n"), 1):
        if time.monotonic() > until:
            raise ToolException(f"Nothing was found within {SECONDS:g} s: narrow the files or the path.")
        found = matches.search(line)
        if found is None:
            continue
        count += 1
        if count > MOST_A_FILE:
            yield f"{file.path}: more matches are left out"
            return
        start = max(0, found.start() - LINE_CHARS // 3)
        yield f"{file.path}:{number}: {line[start : start + LINE_CHARS].strip()}"


def _head(pattern: str, lines: list[str], skipped: int, note: str | None) -> dict[str, object]:
    left_out = f"{skipped} files: binary, too large or not to be read" if skipped else None
    return {"pattern": pattern, "matches": len(lines), "not looked at": left_out, "note": note}


def _cut(lines: list[str]) -> str:
    text = "\n".join(lines) or "(none)"
    return text if len(text) <= ANSWER_CHARS else text[: text.rfind("\n", 0, ANSWER_CHARS)]


def _described(entry: Entry) -> str:
    if entry.kind == "directory":
        return f"{entry.path}/"
    size = f"{entry.size:,} bytes, {iso(entry.changed)}" if entry.kind == "file" else entry.kind
    return f"{entry.path}  ({size})"


def _below(path: str, start: str) -> str:
    """A path as it is seen from where a search began."""
    above = "/".join(part for part in start.split("/") if part not in ("", "."))
    return path[len(above) + 1 :] if above and path.startswith(f"{above}/") else path


def _none() -> dict[str, Any]:
    return {"sources": [], "links": []}
