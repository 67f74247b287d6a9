"""Snapshot: the namespaces that one session saved and was restored from, each as what changed since the one before.

Runs in the worker only; the host sees a manifest and leaves. Invariant: a snapshot counts as whole only when all that
is in it is known to load, or has been loaded in a forked child; a variable that does not is a `Lost` in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlm_agent.repl.dumping import Loss, Subject, dump, tombstones
from rlm_agent.repl.image import Fetch, Image
from rlm_agent.repl.leaves import Leaves
from rlm_agent.repl.loading import Fetched, Resolve, load
from rlm_agent.repl.manifest import Manifest
from rlm_agent.repl.verify import unloadable

__all__ = ["Snapshots", "Taken"]

# Rounds of dump and verify: each names at least one variable, all in one round as a rule.
MOST_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot: its root, the leaves that the host does not have, and the variables that it could not hold."""

    manifest: bytes
    leaves: list[bytes]
    losses: list[Loss]


class Snapshots:
    """The snapshots of one session.

    Attributes:
        leaves: those that the session knows.
    """

    def __init__(self) -> None:
        self.leaves = Leaves()
        self._before: Image | None = None
        self._loaded = b""

    def take(
        self, subject: Subject, resolve: Resolve, extra: dict[str, Any], notes: dict[str, bytes], beside: bytes = b""
    ) -> Taken:
        """Saves the variables.

        Args:
            resolve: as `load` wants it, for the trial.
            extra, notes, beside: kept with the image, see there.
        """
        image, losses = self._whole(subject, resolve)
        image.extra, image.notes, image.beside = extra, notes, beside
        manifest = image.encode(self.leaves)
        known = {loss.name for loss in losses}
        losses += [loss for loss in tombstones(subject.variables) if loss.name not in known]
        self._before = image.outline()
        return Taken(manifest.encode(), self.leaves.settle(manifest.keys), losses)

    def _whole(self, subject: Subject, resolve: Resolve) -> tuple[Image, list[Loss]]:
        """An image that loads."""
        broken: dict[str, str] = {}
        for _round in range(MOST_ROUNDS):
            image, losses = dump(subject, broken, self.leaves, self._before)
            if image.trusted or image.digest() == self._loaded:
                break
            found = unloadable(image, resolve)
            if not found:
                self._loaded = image.digest()
                break
            broken |= found
        return image, losses

    def restore(
        self, manifest: bytes, fetch: Fetch, into: dict[str, Any], resolve: Callable[[Image], Resolve]
    ) -> Image:
        """Loads a snapshot into a namespace. What does not load is bound to a `Lost`.

        Args:
            fetch: gets leaves from the host.
            into: the live globals dict.
            resolve: place -> host object, for this image.

        Raises:
            ManifestError, SnapshotError: it is damaged, or of another Python.
        """
        image = Image.decode(Manifest.decode(manifest), fetch, self.leaves)
        load(image, into, resolve(image), Fetched(fetch, self.leaves))
        self._before = image.outline()
        return image
