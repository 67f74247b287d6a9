"""The value of a variable on stdout or in a file, as a worker gave it: plain data, which is never unpickled."""

import io
import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_agent.cli.exits import Code
from rlm_agent.cli.terminal import say, show
from rlm_agent.errors import ConfigError

if TYPE_CHECKING:
    from rlm_agent.inspection import RunView

__all__ = ["Form", "Wanted", "give_value"]


class Form(StrEnum):
    """The forms of `RunView.value`."""

    json = "json"
    text = "text"
    npy = "npy"
    bytes = "bytes"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A variable, its form, and the file that it goes to; None: stdout."""

    name: str
    form: Form
    file: Path | None


def give_value(view: "RunView", turn: int | None, wanted: Wanted) -> int:
    """Writes the value of a variable at the end of a turn.

    Raises:
        ConfigError: it has no such value, the file cannot be written, or bytes would go to a terminal.
    """
    binary = wanted.form in (Form.npy, Form.bytes)
    if binary and wanted.file is None and sys.stdout.isatty():
        raise ConfigError(f"--as {wanted.form} gives bytes that no terminal shows: add -o FILE, or use a pipe.")
    value = view.value(wanted.name, turn, wanted.form.value)
    if wanted.file is not None:
        _write(wanted.file, _data(value, wanted.form))
        say(f"{wanted.name} is in {wanted.file}")
    elif binary:
        sys.stdout.buffer.write(_data(value, wanted.form))
    else:
        show(_text(value, wanted.form))
    return Code.ANSWERED


def _text(value: Any, form: Form) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) if form is Form.json else str(value)


def _data(value: Any, form: Form) -> bytes:
    if form is Form.bytes:
        return bytes(value)
    if form is Form.npy:
        import numpy

        file = io.BytesIO()
        numpy.save(file, value, allow_pickle=False)
        return file.getvalue()
    return _text(value, form).encode("utf-8", "surrogatepass")


def _write(file: Path, data: bytes) -> None:
    try:
        file.expanduser().write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error}") from error
