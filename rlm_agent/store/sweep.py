"""Freeing what the home no longer needs: blobs, corpora, web pages, and drafts of dead processes.

Why nothing is lost that another process is just putting together, at any grace, 0 included:

* Whoever puts blobs for a run owns it, from before its first blob until the row that names them is written. So a blob
  stays that was put since the oldest lease began whose owner may still write, see `leases.working_since`.
* "Put" counts also where the bytes were there already: `Blobs.put` notes the time of a row in the commit that its
  caller waits for, and that of a file under the lock `using`. A blob is judged where neither can happen in between: in
  a write transaction of the database, and files under the lock `sweeping`, too. A put is before that, and then its
  lease and its time are seen; or after it, and then the bytes are found missing and are written again.
* Leaves that a run names without putting them again are those of the turn that it began at, which is a head and so is
  marked, and those that it put itself.
* Turns that came to be retained since the marks were made (a fork, a run that stands elsewhere) are marked in the same
  transaction.

What no lease protects is a corpus between `Corpus.load` and the question about it: that is what the grace is for.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from sqlite3 import Connection

from rlm_agent.errors import ConfigError
from rlm_agent.store.blobs import Blobs
from rlm_agent.store.claims import sweeping
from rlm_agent.store.database import Database
from rlm_agent.store.failures import explained
from rlm_agent.store.leases import working_since
from rlm_agent.store.marks import Marks
from rlm_agent.store.retention import give_up, given_up
from rlm_agent.store.sweepable import BlobFiles, BlobRows, CorpusDirectories, Found, Kind, PageFiles, free_drafts

__all__ = ["GRACE_SECONDS", "Freed", "Sweeper"]

GRACE_SECONDS = 24 * 3600.0
"""How long what nothing names is kept after it was last put, loaded or taken up: a day."""

_CLOCK_SECONDS = 60.0  # by how much the system's clock may be set back while a run goes on
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Freed:
    """What a sweep freed, or would free.

    Attributes:
        turns: that are no longer retained, so that their variables cannot be had any more.
        blobs: in number; `blob_bytes` in size.
        corpora: in number; `corpus_bytes` in size.
        pages: web pages, in number; `page_bytes` in size.
        drafts: what dead processes left half written, in number; `draft_bytes` in size.
        damaged: ids of retained turns whose snapshot is missing or damaged, before any of this.
    """

    turns: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    corpora: int = 0
    corpus_bytes: int = 0
    pages: int = 0
    page_bytes: int = 0
    drafts: int = 0
    draft_bytes: int = 0
    damaged: tuple[str, ...] = ()


class Sweeper:
    """Frees what one home no longer needs. Blocks."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def sweep(self, *, keep: int | None = None, grace: float = GRACE_SECONDS, dry_run: bool = False) -> Freed:
        """Frees what nothing in the home names any more. Harmless beside running processes.

        Args:
            keep: how many of its newest turns a run keeps with their variables; None: all. Code, output, answers and
                ledger of the others stay. What forks stand at or share is kept.
            grace: seconds that something must have been out of use.
            dry_run: counts only.

        Raises:
            ConfigError: a number is out of range.
            HomeError: the home holds what this version does not understand. Nothing was freed then.
        """
        if not grace >= 0 or (keep is not None and keep < 1):
            raise ConfigError(f"keep={keep}, grace={grace}: keep at least 1 turn, with a grace of 0 seconds or more.")
        now = time.time()
        given = self._give_up(keep, now, dry_run) if keep is not None else set()
        with self._database.reading() as connection:
            marks = Marks.read(connection, self._blobs, without=given)
        sweep = _Sweep(self._database, self._blobs, marks, now - grace, dry_run)
        files = sweep.free(BlobFiles(self._database.path))
        rows = sweep.free(BlobRows())
        corpora = sweep.free(CorpusDirectories(self._database.path))
        pages = sweep.free(PageFiles(self._database.path))
        drafts = free_drafts(self._database.tmp, dry_run=dry_run)
        return Freed(
            turns=len(given),
            blobs=len(rows) + len(files),
            blob_bytes=_size(rows) + _size(files),
            corpora=len(corpora),
            corpus_bytes=_size(corpora),
            pages=len(pages),
            page_bytes=_size(pages),
            drafts=len(drafts),
            draft_bytes=_size(drafts),
            damaged=tuple(marks.damaged),
        )

    def _give_up(self, keep: int, now: float, dry_run: bool) -> set[str]:
        """The turns that are no longer retained. Those made by entries that work now are not counted."""
        if dry_run:
            with self._database.reading() as connection:
                return given_up(connection, keep, _unused_since(connection, now))
        return self._database.write(lambda c: give_up(c, keep, _unused_since(c, now))).result()


@dataclass(frozen=True, slots=True)
class _Sweep:
    """One sweep, after the marks are made."""

    database: Database
    blobs: Blobs
    marks: Marks
    before: float
    dry_run: bool

    def free(self, kind: Kind) -> list[Found]:
        """What of a kind was freed: in batches, between which others write."""
        with self.database.reading() as connection:
            limit = _unused_since(connection, self.before)
            old = [one for one in kind.old(connection, limit) if not self.marks.need(one.name)]
        if self.dry_run:
            return old
        freed: list[Found] = []
        for start in range(0, len(old), _BATCH):
            judge = partial(self._judge, kind, old[start : start + _BATCH])
            freed += self.database.write(judge).result()
        return freed

    def _judge(self, kind: Kind, batch: Sequence[Found], connection: Connection) -> list[Found]:
        """Frees those of a batch that are unneeded and out of use even now, with the database's write lock held."""
        self.marks.catch_up(connection, self.blobs)
        with explained(self.database.path), sweeping(self.database.path):
            limit = _unused_since(connection, self.before)
            return [one for one in batch if not self.marks.need(one.name) and kind.free(connection, one.name, limit)]


def _unused_since(connection: Connection, before: float) -> float:
    """The time since which a thing must not have been used to be freed: no later than the oldest living lease."""
    working = working_since(connection)
    return before if working is None else min(before, working - _CLOCK_SECONDS)


def _size(found: Sequence[Found]) -> int:
    return sum(one.size for one in found)
