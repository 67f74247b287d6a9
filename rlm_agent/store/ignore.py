"""The .gitignore files of a directory tree: which of its entries they leave out, by git's own rules.

Invariant: of the files from an entry's folder up to the root the nearest that says anything about it decides, the last
matching line in each. Only files at and below the root are read, and only regular ones.
"""

import codecs
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rlm_agent.store.ignore_pattern import Pattern, parse

__all__ = ["Ignore"]

_NAME = ".gitignore"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Ignore:
    """The rules in force in one folder; as it is made, there are none."""

    _rules: tuple[tuple[int, tuple[Pattern, ...]], ...] = ()

    def within(self, folder: Path, depth: int) -> "Ignore":
        """The rules in force in a folder below.

        Args:
            folder: where it is.
            depth: how many names its path from the root has.
        """
        patterns = _patterns(folder / _NAME)
        return Ignore(((depth, patterns), *self._rules)) if patterns else self

    def leaves_out(self, path: list[bytes], *, directory: bool) -> bool:
        """Whether an entry of the folder is ignored; `path` are the names from the root to it."""
        for depth, patterns in self._rules:
            below = path[depth:]
            for pattern in patterns:
                if pattern.names(below, directory=directory):
                    return not pattern.includes
        return False


def _patterns(file: Path) -> tuple[Pattern, ...]:
    """The patterns of a file, the last first; none where it cannot be read or is no regular file."""
    try:
        if not stat.S_ISREG(os.lstat(file).st_mode):
            return ()
        with open(file, "rb") as opened:
            data = opened.read(_MOST_BYTES).removeprefix(codecs.BOM_UTF8)
    except OSError:
        return ()
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    return tuple(pattern for line in reversed(lines) if (pattern := parse(line)))
