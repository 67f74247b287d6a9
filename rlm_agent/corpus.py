"""`Corpus`: the small handle of a large input. The input itself is in the home, see `rlm_agent/store/corpora.py`."""

import os
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rlm_agent.store.home import Home

__all__ = ["Corpus"]


class Corpus(dict[str, Any]):
    """The handle of a corpus: a dict of plain JSON values that may travel through messages, states and HTTP.

    Its keys: "rlm_corpus" (version), "digest", "kind" ("text": one str in the REPL, "files": a dict of name to text,
    "json": a list or dict), "chars", "bytes" (as UTF-8), "files" (how many texts a dict has; of a text, 1 where it was
    a file), "recoded" (how many texts were in an old encoding, or damaged), "recoded_as" (name to encoding, at most
    20), "skipped" (names, at most 20), "skipped_count", "ignored" (how many files a .gitignore left out), "home" (its
    id) and "name".
    """

    @classmethod
    def load(cls, source: Any, home: "Home | str | os.PathLike[str] | None" = None) -> Self:
        """Copies a large input into the home and returns its handle.

        A source is one of these, or a list or dict of them:

        * Text: a str with a line break or of more than 4096 characters; a shorter one where it does not look like a
          path, a glob or an address. To give any text of one line, pass it as bytes.
        * bytes, or the path of a file: a text in UTF-8, UTF-16 or UTF-32, or an old encoding, which is told by its
          characters ("recoded" counts those). A compressed text (gzip, bzip2, xz) is unpacked.
        * A directory: a dict of relative paths to texts. What a .gitignore in it leaves out is not loaded, nor are
          version control's own files; binary files are skipped and named.
        * A glob (`docs/**/*.md`): the same of the files that match, whatever a .gitignore says.
        * An archive (zip; tar, plain or compressed): the same of its members, .gitignore or not. Up to 4 GB unpacked
          and 200,000 members. One that holds an absolute path, `..`, a link, a device or an encrypted member, or that
          unpacks like a bomb, is refused as a whole. Archives inside of archives and directories stay packed.
        * An http or https address: what it holds, up to 512 MB; HTML is kept as it is. It is meant for addresses that
          you chose: where it leads is not checked. Never pass on an address that somebody else gave you.
        * A handle of this home, or of another that is open: its texts.

        A list gives a dict of texts: a text is named by its position ("0", "1"), a file by its file name, what a
        directory, glob, archive or handle holds by its name and the path within ("docs/a.md"). As many of the folders
        above are put before as tell them apart; names that are equal even so get a number ("a.md (2)"). In a dict of
        sources the keys are the names. What a list or dict names itself must be readable text.

        Args:
            source: what to load.
            home: where it is kept; None: the default home.

        Raises:
            ConfigError: there is nothing to load, or nothing that is text; the message names it.
            HomeError: the home cannot take it.
        """
        from rlm_agent.store.home import as_home

        return cls(as_home(home).corpora.load(source))

    def __repr__(self) -> str:
        return f"Corpus({self.get('name')!r}, {self.get('kind')}, {self.get('chars', 0):,} characters)"
