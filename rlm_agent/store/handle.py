"""What the handle of a corpus is: plain JSON that names what a home holds."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["DIGEST", "KINDS", "Handle", "is_handle"]

Handle = dict[str, Any]
DIGEST = re.compile(r"[0-9a-f]{64}\Z")
KINDS = ("text", "files", "json")


def is_handle(value: object) -> bool:
    """Whether a value is the handle of a corpus, as `Corpus.load` returns it or as plain JSON."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("rlm_corpus"), int)
        and isinstance(value.get("digest"), str)
        and bool(DIGEST.match(value["digest"]))
        and value.get("kind") in KINDS
    )
