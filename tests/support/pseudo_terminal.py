"""A real pseudo-terminal with a command in it, and what a person would see on its screen.

The command leads a session of its own whose terminal this is: what is typed reaches it as from a keyboard, and Ctrl-C
is a signal to the whole foreground group.
"""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

CTRL_C = b"\x03"
CTRL_D = b"\x04"

# A shell's background job has SIGINT ignored, and passes that on; who sits at a terminal has not.
_TAKE_TERMINAL = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)
_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\][^\x07]*\x07|([\r\n\b])|([^\x1b\r\n\b])")


class PseudoTerminal:
    """A running command.

    Attributes:
        chunks: what it wrote, as (seconds since its start, bytes).
    """

    def __init__(self, process: "subprocess.Popen[bytes]", master: int, columns: int) -> None:
        self.process, self.columns = process, columns
        self.chunks: list[tuple[float, bytes]] = []
        self._master = master
        self._started = time.monotonic()

    @property
    def raw(self) -> bytes:
        """Everything it wrote so far."""
        return b"".join(data for _, data in self.chunks)

    @property
    def screen(self) -> str:
        """What is to be seen now, lines that were scrolled away included."""
        return screen_text(self.raw.decode("utf-8", "replace"), self.columns)

    def type(self, keys: bytes) -> None:
        """Types on its keyboard."""
        os.write(self._master, keys)

    def read_until(self, pattern: str, seconds: float = 60, *, since: int = 0) -> "re.Match[str]":
        """Reads until the screen shows a pattern, in what comes after its first `since` characters."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self.screen[since:])) is None:
            in_time = self._read(0.05) and time.monotonic() < deadline
            assert in_time, f"{pattern!r} was not seen on the screen:\n{self.screen}"
        return found

    def wait(self, seconds: float = 60) -> int:
        """Reads until the command ends; returns its exit code."""
        deadline = time.monotonic() + seconds
        while self._read(0.05):
            assert time.monotonic() < deadline, f"it goes on:\n{self.screen}"
        return self.process.wait(5)

    def _read(self, seconds: float) -> bool:
        """Reads what is there; False once the other side is closed."""
        # Not select.select, which knows no descriptor above 1023.
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        if poll.poll(seconds * 1000):
            try:
                data = os.read(self._master, 65536)
            except OSError:  # Linux: nobody holds the other side any more
                data = b""
            self.chunks.append((time.monotonic() - self._started, data))
            return bool(data)
        return True


@contextmanager
def terminal(
    command: Sequence[str], env: Mapping[str, str], *, columns: int = 100, cwd: str | None = None
) -> Iterator[PseudoTerminal]:
    """Starts a command in a terminal of its own; at the end it is killed if it still runs."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={"TERM": "xterm-256color", **kept},
        cwd=cwd,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield PseudoTerminal(process, master, columns)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def screen_text(written: str, columns: int) -> str:
    """The text of a screen of endless height after all of this was written to it. Colours are left out."""
    screen = _Screen(columns)
    for token in _TOKEN.finditer(written):
        parameters, final, control, character = token.groups()
        if final:
            screen.sequence(parameters, final)
        elif control:
            screen.control(control)
        elif character:
            screen.put(character)
    return screen.text


class _Screen:
    """The few things that our own output does: characters, line ends, cursor up, erasing."""

    def __init__(self, columns: int) -> None:
        self.columns, self.row, self.column = columns, 0, 0
        self.rows: list[list[str]] = [[]]

    @property
    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.rows).rstrip()

    def put(self, character: str) -> None:
        if self.column == self.columns:
            self.column = 0
            self._down()
        row = self.rows[self.row]
        row.extend(" " * (self.column + 1 - len(row)))
        row[self.column] = character
        self.column += 1

    def control(self, character: str) -> None:
        if character == "\n":
            self._down()
        self.column = 0 if character == "\r" else max(0, self.column - (character == "\b"))

    def sequence(self, parameters: str, final: str) -> None:
        number = int(parameters) if parameters.isdigit() else 0
        if final == "A":
            self.row = max(0, self.row - max(1, number))
        elif final == "K":
            start = 0 if number in (1, 2) else self.column
            end = self.column + 1 if number == 1 else len(self.rows[self.row])
            self.rows[self.row][start:end] = " " * (end - start)

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])
