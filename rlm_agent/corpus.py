"""`Corpus`: the small handle of a large input. The input itself is in the home, see `rlm_agent/store/corpora.py`."""

import os
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rlm_agent.store.home import Home

__all__ = ["Corpus"]


class Corpus(dict[str, Any]):
    """The handle of a corpus: a dict of plain JSON values that may travel through messages, states and HTTP.

    Its keys: "rlm_corpus" (version), "digest", "kind" ("text": one str in the REPL, "files": a dict of path to text,
    "json": a list or dict), "chars", "bytes" (as UTF-8), "files", "recoded" (files in an old 8-bit encoding),
    "skipped" (names, at most 20), "skipped_count", "home" (its id) and "name".
    """

    @classmethod
    def load(cls, source: Any, home: "Home | str | os.PathLike[str] | None" = None) -> Self:
        """Copies a large input into the home and returns its handle.

        Args:
            source: text, bytes, a path of a file or directory, a glob (`docs/**/*.md`), or a handle. A str with a line
                break or of more than 4096 characters is text; a shorter one is a path or glob where it looks like one.
            home: where it is kept; None: the default home.

        Raises:
            ConfigError: there is nothing to load, or nothing that is text; the message names it.
            HomeError: the home cannot take it.
        """
        from rlm_agent.store.home import as_home

        return cls(as_home(home).corpora.load(source))

    def __repr__(self) -> str:
        return f"Corpus({self.get('name')!r}, {self.get('kind')}, {self.get('chars', 0):,} characters)"
