"""The child process: reads documents one after the other, until its input ends.

Wire: an empty line when it is ready; then a line of JSON that says what comes and how many bytes, and the bytes; back
comes one line of JSON. Invariant: nothing
but these lines goes to the real standard output; what a parser prints goes nowhere.
"""

import json
import os
import resource
import sys
from contextlib import suppress

from rlm_agent_tools.documents.extraction import Unreadable, extracted

__all__ = ["main"]

MEMORY = 2 << 30


def main() -> None:
    """Serves standard input."""
    given, taken = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    import pypdf  # noqa: F401 - loaded before the clock of the first document runs
    import trafilatura  # noqa: F401

    taken.write(b"\n")
    taken.flush()
    for line in iter(given.readline, b""):
        asked = json.loads(line)
        data = given.read(asked.pop("size"))
        taken.write(json.dumps(_answer(asked, data)).encode() + b"\n")
        taken.flush()


def _answer(asked: dict[str, object], data: bytes) -> dict[str, object]:
    try:
        return extracted(data=data, **asked)  # type: ignore[arg-type]
    except Unreadable as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "reading it needs too much memory"}
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of a stranger's bytes costs this document only
        return {"error": f"it cannot be parsed ({type(error).__name__})"}


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with suppress(ValueError, OSError):  # a system that does not know the limit
        resource.setrlimit(which, (most, hard))
