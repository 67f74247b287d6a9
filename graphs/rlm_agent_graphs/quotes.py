"""Quotes: whether a text holds one. Pure.

What a model copies out of a page differs from it in white space, hyphens at line ends, and the shapes of quotation
marks and dashes; nothing else may differ.
"""

import re
import unicodedata

__all__ = ["SHORTEST", "fault"]

SHORTEST = 12
"""Characters that a quote has at least, white space not counted: a shorter one stands on any page."""

_ELLIPSIS = re.compile(r"\[\s*(?:\.{3}|…)\s*\]|\.{3,}|…")
_LINE_HYPHEN = re.compile(r"(?<=\w)[-\u2010\u00ad]\s*\n\s*(?=\w)")
_MARKS = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("“”„‟″«»「」『』", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", None),
    }
)


def fault(quote: str, text: str) -> str:
    """Why a text does not hold a quote; "" where it does.

    Args:
        quote: word for word; where it leaves something out, "..." or "[...]" stands.
        text: of the whole page.
    """
    parts = [part for part in map(_plain, _ELLIPSIS.split(quote.strip().strip("\"'“”„«»「」『』"))) if part]
    if not parts or any(len(part) < SHORTEST for part in parts):
        return f"a quote needs {SHORTEST} characters or more, each part of it"
    page, at = _plain(text), 0
    for part in parts:
        found = page.find(part, at)
        if found < 0:
            elsewhere = len(parts) > 1 and part in page
            return "its parts do not stand in this order on the page" if elsewhere else "it is not on the page"
        at = found + len(part)
    return ""


def _plain(text: str) -> str:
    """The text without what a copy may change."""
    joined = _LINE_HYPHEN.sub("", unicodedata.normalize("NFKC", text))
    return "".join(joined.translate(_MARKS).split())
