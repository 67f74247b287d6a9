"""Widths on a terminal: Korean, Chinese and emoji take two columns a character, combining marks none."""

import shutil
from collections.abc import Sequence

__all__ = ["columns", "cut", "padded", "table", "terminal_columns"]


def columns(text: str) -> int:
    """How many columns one line of text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(line: str, most: int) -> str:
    """The line, or as much of its beginning as fits into `most` columns, with a mark that there is more."""
    if columns(line) <= most:
        return line
    from rich.cells import set_cell_size

    return set_cell_size(line, max(0, most - 1)).rstrip() + "…"


def padded(line: str, width: int) -> str:
    """The line with blanks up to `width` columns; a longer one stays as it is."""
    return line + " " * (width - columns(line))


def table(rows: Sequence[Sequence[str]], most: int = 40) -> list[str]:
    """Rows of equally many cells as lines, in columns as wide as their widest cell; the last one is left as it is.

    Args:
        rows: the cells, each one line.
        most: columns that a cell has at most, the last of a row excepted.
    """
    if not rows:
        return []
    short = [[*(cut(cell, most) for cell in row[:-1]), row[-1]] for row in rows]
    widths = [max(map(columns, column)) for column in list(zip(*short, strict=True))[:-1]]
    return ["  ".join([*map(padded, row[:-1], widths), row[-1]]).rstrip() for row in short]


def terminal_columns() -> int:
    """How wide the terminal is; 80 where there is none."""
    return max(20, shutil.get_terminal_size().columns)
