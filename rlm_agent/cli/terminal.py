"""What the command line writes: results on stdout, everything else on stderr.

Invariant: no control or escape sequence that came from a model, a cell or a file reaches a terminal.
"""

import json
import os
import re
import sys
from typing import Any

from rlm_agent.cli.columns import cut, terminal_columns

__all__ = [
    "bytes_text",
    "clean",
    "counted",
    "first_words",
    "forgiving_streams",
    "is_screen",
    "json_text",
    "one_line",
    "say",
    "say_below",
    "show",
    "show_row",
]

_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\|\Z)"  # OSC, DCS, SOS, PM, APC: titles, links, clipboard
    # The two-character ones. An opening without an end on its line is one of these: what follows must not be hidden.
    r"|\x1b[ -/]*[0-~]",
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text without escape sequences, control characters and direction overrides; line breaks and tabs stay."""
    text = _SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """The text, cleaned, on one line."""
    return " ".join(clean(text).split())


def first_words(text: str, most: int) -> str:
    """The beginning of the text on one line of at most `most` columns."""
    return cut(one_line(text[: 20 * most]), most)


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 turn", "2 turns"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def bytes_text(size: int) -> str:
    """A size as people read it: "512 bytes", "3.4 MB" (of 1000 * 1000)."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return counted(size, "byte")


def say(line: str) -> None:
    """One line to the person at the keyboard, on stderr, cleaned wherever that leads."""
    print(clean(line), file=sys.stderr, flush=True)


def say_below(line: str) -> None:
    """One line after a Ctrl-C: on a terminal below the "^C" that it echoed, where one is to be expected."""
    say(f"\n{line}" if sys.stderr.isatty() and not is_screen() else line)


def show(text: str) -> None:
    """A result, on stdout: cleaned for a terminal, as it is for a pipe or file. It ends with one line break."""
    text = clean(text) if sys.stdout.isatty() else text
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def show_row(line: str) -> None:
    """One row of a list, on stdout: on a terminal no longer than its width, so that a row stays a line."""
    show(cut(clean(line), terminal_columns()) if sys.stdout.isatty() else line)


def json_text(value: Any) -> str:
    """JSON on one line; in characters that stdout can hold, so that it is read back as it was."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    return json.dumps(value, ensure_ascii=encoding != "utf8")


def is_screen() -> bool:
    """Whether stderr is a terminal in which lines can be drawn anew. Colours are another matter: `NO_COLOR`."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def forgiving_streams() -> None:
    """Lets text that the terminal's encoding cannot hold come out escaped, and text to a closed stream go nowhere."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # it stands until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
