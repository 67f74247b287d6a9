"""The durable log of a scripted model's calls, by which payments are counted across a kill.

Owns: the file's format, one JSON object a line. Invariant: a line that `append` returned from is on the disk, and lines
of several processes never mix. A line that a kill cut short is left out when read.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Call", "append", "read_calls"]


@dataclass(frozen=True, slots=True)
class Call:
    """One line: a call began, was answered, or failed.

    Attributes:
        event: "start" before the model does anything, then "reply" or "error" just before the caller sees it.
        call: the same for all lines of one call, different between any two calls.
        digest: of the messages sent: type, content, tool calls; not their ids.
        pid: of the process that asked.
        model: the scripted model's name.
        tools: names of the tools bound to this call.
        text: the last message sent ("start"), the reply ("reply"), the exception ("error").
        at: seconds since the epoch.
    """

    event: Literal["start", "reply", "error"]
    call: str
    digest: str
    pid: int
    model: str
    tools: tuple[str, ...]
    text: str
    at: float


def append(path: Path, call: Call) -> None:
    """Adds a line and waits until it is on the disk."""
    line = json.dumps(asdict(call), ensure_ascii=False) + "\n"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode("utf-8", "surrogatepass"))
        os.fsync(fd)
    finally:
        os.close(fd)


def read_calls(path: str | Path, event: str | None = None) -> list[Call]:
    """The calls in the order they were written; an absent file has none.

    Args:
        path: the log.
        event: only lines of this event.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    whole = data[: data.rfind(b"\n") + 1]
    rows = [json.loads(line.decode("utf-8", "surrogatepass")) for line in whole.splitlines()]
    calls = [Call(**{**row, "tools": tuple(row["tools"])}) for row in rows]
    return [call for call in calls if event in (None, call.event)]
