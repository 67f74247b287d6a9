"""A long text in pages that fit a model's window. Pure: equal texts have equal pages."""

from dataclasses import dataclass

from langchain_core.tools import ToolException

__all__ = ["PAGE_CHARS", "Page", "page_of", "page_with_line", "pages"]

PAGE_CHARS = 8000
"""Characters of a page, at most."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its number from 1, how many there are, its text, and the lines (from 1) that it begins and ends in."""

    number: int
    count: int
    text: str
    first_line: int
    last_line: int

    @property
    def label(self) -> str:
        return f"{self.number} of {self.count}"


def pages(text: str, size: int = PAGE_CHARS) -> list[Page]:
    """All pages of a text, at least one; cut behind a line where one ends in the second half, else behind a space."""
    cuts = [0]
    while len(text) - cuts[-1] > size:
        cuts.append(_cut(text, cuts[-1], size))
    spans = list(zip(cuts, [*cuts[1:], len(text)], strict=True))
    made: list[Page] = []
    line = 1
    for number, (start, end) in enumerate(spans, 1):
        last = line + text.count("\n", start, max(start, end - 1))
        made.append(Page(number, len(spans), text[start:end], line, last))
        line += text.count("\n", start, end)
    return made


def page_of(text: str, number: int) -> Page:
    """One page by its number.

    Raises:
        ToolException: there is no such page.
    """
    all_pages = pages(text)
    if not 1 <= number <= len(all_pages):
        raise ToolException(f"There is no page {number}: the pages are 1 to {len(all_pages)}.")
    return all_pages[number - 1]


def page_with_line(text: str, line: int) -> Page:
    """The page that a line is on, or begins on.

    Raises:
        ToolException: there is no such line.
    """
    all_pages = pages(text)
    for page in all_pages:
        if 1 <= line <= page.last_line:
            return page
    raise ToolException(f"There is no line {line}: the lines are 1 to {all_pages[-1].last_line}.")


def _cut(text: str, start: int, size: int) -> int:
    for sign in ("\n", " "):
        at = text.rfind(sign, start + size // 2, start + size)
        if at >= 0:
            return at + 1
    return start + size
