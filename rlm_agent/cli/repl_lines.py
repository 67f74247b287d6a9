"""Lines from the person at the keyboard, put together to inputs as Python's own prompt does it.

What is typed is only ever compiled here, to see whether it is complete; nothing of it runs outside of the worker.
"""

import ast
import codeop
import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["History", "Lines", "is_complete"]


def is_complete(source: str, whole: codeop.CommandCompiler | None = None) -> bool:
    """Whether Python's prompt would take this as an input, be it right or wrong."""
    compiler = whole or codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        return compiler(source, "<input>", "single") is not None
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return True  # the worker tells what is wrong with it


class Lines:
    """Reads inputs from a terminal.

    Args:
        prompt: of an input's first line.
    """

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt

    def read(self) -> str | None:
        """An input of one or several lines, None at the end (Ctrl-D). Ctrl-C begins it anew."""
        lines: list[str] = []
        while True:
            try:
                line = _line("..." + " " * (len(self.prompt) - 3) if lines else self.prompt)
            except KeyboardInterrupt:
                _to_stderr("\n")
                lines = []
                continue
            except EOFError:
                _to_stderr("\n")
                return None
            lines.append(line)
            source = "\n".join(lines)
            if (len(lines) == 1 and line.lstrip().startswith(":")) or is_complete(source):
                return source


def _line(prompt: str) -> str:
    """One line. `input` edits it where both sides are a terminal; the prompt is never part of the output."""
    if sys.stdout.isatty():
        return input(prompt)
    _to_stderr(prompt)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


class History:
    """What was typed before, in a file of this user only; nothing where Python has no readline. A context manager."""

    def __init__(self, file: Path, length: int = 1000) -> None:
        self._file, self._length = file, length

    def __enter__(self) -> None:
        with suppress(ImportError, OSError):
            import readline

            readline.clear_history()
            readline.parse_and_bind("tab: self-insert")
            readline.read_history_file(self._file)

    def __exit__(self, *_: object) -> None:
        with suppress(ImportError, OSError):
            import readline

            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            readline.set_history_length(self._length)
            readline.write_history_file(self._file)
