"""Fills a draft from whatever a caller gave, and tells what came of it.

Invariant: names in a corpus are unique. What was named itself must be readable text; what lies in a directory or
archive is skipped and named where it is not.
"""

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from rlm_agent.errors import ConfigError
from rlm_agent.store.charset import NotText
from rlm_agent.store.collection import is_collection, labelled
from rlm_agent.store.draft import Draft
from rlm_agent.store.parts import Part, Source
from rlm_agent.store.sources import Desk, recognised

__all__ = ["Intake", "take_in"]


@dataclass(slots=True)
class Intake:
    """What a draft was filled with.

    Attributes:
        name: short, for people.
        kind: "text" or "files".
        files: how many texts a dict has; of a text, whether it was a file.
        skipped: names of what is no text, cannot be read or was not followed.
        ignored: files that a .gitignore names.
    """

    name: str = ""
    kind: str = "files"
    files: int = 0
    skipped: list[str] = field(default_factory=list)
    ignored: int = 0


def take_in(draft: Draft, given: Any, desk: Desk) -> Intake:
    """Adds all texts of what was given to a draft.

    Raises:
        ConfigError: something that was named cannot be loaded; the message names it.
        HomeError: the home cannot take it.
    """
    if not is_collection(given):
        source = recognised(given).open(desk)
        intake = Intake(source.name, "text" if source.lone else "files")
        _take(draft, "", source, intake)
        intake.files = source.files if source.lone else len(draft.entries)
        return intake
    members = labelled(given)
    intake = Intake(f"{len(members)} sources")
    for label, named in members:
        _take(draft, label, named.open(desk), intake)
    intake.files = len(draft.entries)
    return intake


def _take(draft: Draft, label: str, source: Source, intake: Intake) -> None:
    start, skipped = len(draft.entries), []
    with closing(source.parts):
        for part in source.parts:
            name = draft.free_name(_joined(label, part.name))
            if not _add(draft, name, part, must=source.lone):
                skipped.append(_joined(label, part.name))
    skipped = [*(_joined(label, name) for name in source.left_out), *skipped]
    if len(draft.entries) == start:
        raise ConfigError(_nothing_message(source, skipped))
    if source.unordered:
        draft.sort(start)
    intake.skipped += skipped
    intake.ignored += source.ignored


def _joined(label: str, name: str) -> str:
    return f"{label}/{name}" if label and name else label or name


def _add(draft: Draft, name: str, part: Part, *, must: bool) -> bool:
    """Whether a part is a text that could be read; one that must be raises."""
    try:
        if isinstance(part.content, str):
            draft.add_text(name, part.content)
        elif part.verbatim:
            draft.add_copy(name, part.content)
        else:
            draft.add_stream(name, part.content, part.declared)
    except NotText:
        if must:
            raise ConfigError(f"{part.where} is binary, not text: convert it to text first.") from None
        return False
    except OSError as error:
        if must:
            raise ConfigError(f"{part.where} cannot be read: {error.strerror or error}.") from error
        return False
    return True


def _nothing_message(source: Source, skipped: list[str]) -> str:
    if skipped:
        names = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        return f"{source.where}: none of its {len(skipped)} files is readable text ({names}). Give text files."
    if source.ignored:
        return f"{source.where}: .gitignore files name all of its {source.ignored} files. Give a glob to take them."
    return f"{source.where}: the {source.noun} holds no file. Give one with text files in it."
