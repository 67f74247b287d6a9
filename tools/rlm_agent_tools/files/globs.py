"""Globs and regular expressions that a model writes. Pure.

Both are matched by RE2, whose time is linear in the text whatever the pattern: no pattern is catastrophic. It knows no
look-around and no back-references, and says so.
"""

from typing import Any

import re2
from langchain_core.tools import ToolException

__all__ = ["compiled", "glob"]

_LONGEST = 1000
_MEMORY = 8 << 20


def compiled(pattern: str, *, ignore_case: bool = False) -> Any:
    """A regular expression.

    Raises:
        ToolException: it is none, or one that RE2 does not know.
    """
    if not pattern or len(pattern) > _LONGEST:
        raise ToolException(f"The pattern is empty or longer than {_LONGEST} characters.")
    options = re2.Options()
    options.log_errors, options.max_mem, options.case_sensitive = False, _MEMORY, not ignore_case
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        why = error.args[0].decode("utf-8", "replace") if isinstance(error, re2.error) else str(error)
        raise ToolException(
            f"{pattern!r} is no regular expression of RE2 (which has no look-around and no back-references): {why}"
        ) from None


def glob(pattern: str) -> Any:
    """A glob over paths: `*` and `?` within one name, `**` over any number of them, `[...]` one of these characters.

    Raises:
        ToolException: it is none.
    """
    parts, at = [], 0
    while at < len(pattern):
        part, at = _next(pattern, at)
        parts.append(part)
    return compiled(f"^(?:{''.join(parts)})$")


def _next(pattern: str, at: int) -> tuple[str, int]:
    """The next part of a glob as a regular expression, and where the part behind it begins."""
    if pattern.startswith("**/", at):
        return "(?:.*/)?", at + 3
    if pattern.startswith("**", at):
        return ".*", at + 2
    sign = pattern[at]
    end = pattern.find("]", at + 2)
    if sign == "[" and end > 0:
        inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
        return f"[{'^' + inside[1:] if inside[0] == '!' else inside}]", end + 1
    return {"*": "[^/]*", "?": "[^/]"}.get(sign) or re2.escape(sign), at + 1
