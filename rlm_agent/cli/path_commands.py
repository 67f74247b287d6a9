"""Which `rlm` a shell starts: every command of that name on PATH, and whether it is ours.

A script is ours where it imports `rlm_agent.cli.main`, as installers write it. Nothing is started.
"""

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PathCommand", "clash", "commands_on_path"]

_NAME = "rlm"
_OURS = b"rlm_agent.cli.main"


@dataclass(frozen=True, slots=True)
class PathCommand:
    """One executable named `rlm`.

    Attributes:
        path: where it is.
        ours: it starts langgraph-rlm.
        here: it starts the one that is running now, not that of another environment.
    """

    path: str
    ours: bool
    here: bool


def commands_on_path(path: str | None = None) -> list[PathCommand]:
    """In the order in which a shell looks; `path` is as `$PATH`, and None reads that."""
    directories = (os.environ.get("PATH", "") if path is None else path).split(os.pathsep)
    files = [Path(directory or ".") / _NAME for directory in dict.fromkeys(directories)]
    found = {file.resolve(): file for file in reversed(files) if file.is_file() and os.access(file, os.X_OK)}
    return [_read(found[file.resolve()]) for file in files if found.get(file.resolve()) == file]


def _read(file: Path) -> PathCommand:
    try:
        with file.open("rb") as script:
            ours = _OURS in script.read(4096)
    except OSError:
        ours = False
    own = Path(sysconfig.get_path("scripts")) / _NAME
    return PathCommand(str(file), ours, ours and file.resolve() == own.resolve())


def clash(found: list[PathCommand]) -> str | None:
    """What a user should know: that `rlm` starts something else, or that another one waits behind ours."""
    if not found:
        return None
    first, others = found[0], [command.path for command in found[1:] if not command.ours]
    if not first.ours:
        mine = next((command.path for command in found if command.ours), None)
        way = f"call {mine}, or put its directory first in PATH" if mine else "call `python -m rlm_agent.cli.main`"
        return f"`rlm` starts {first.path}, which is another program: {way}"
    if any(command.here for command in found) and not first.here:
        return f"`rlm` starts {first.path}, langgraph-rlm of another environment than this one"
    return f"another program is named rlm, too, behind ours in PATH: {', '.join(others)}" if others else None
