"""How each thread was started from the command line, so that `rlm resume THREAD` needs nothing else.

Owns: `<home>/cli/<digest of the thread>.json`, written whole or not at all, for this user only. It holds names,
settings and bounds, never a key.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_agent.errors import ConfigError, HomeError
from rlm_agent.settings import Budget
from rlm_agent.store.failures import explained
from rlm_agent.store.layout import publish
from rlm_agent.store.versions import check_version

if TYPE_CHECKING:
    from rlm_agent.store.home import Home

__all__ = ["AGENT", "Start", "find_start", "forget_start", "load_start", "save_start", "start_from"]

AGENT = "rlm"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Start:
    """What a thread's agent is made of.

    Attributes:
        thread: LangGraph's thread id.
        model: the root's, as `create_rlm_agent` takes it.
        sub_model: the sub-agents', or None for the root's.
        budget: the bounds of a question.
        tools: plugins with their settings, as `create_rlm_agent` takes them.
        tips: names of strategies.
        ask: the root may ask the person who runs it.
        agent: name of a ready-made agent; "" for none.
        max_depth: of `create_rlm_agent`.
        directory: where it was started, which relative paths in the settings of tools mean.
    """

    thread: str
    model: str
    sub_model: str | None
    budget: Budget
    tools: tuple[str, ...] = ()
    tips: tuple[str, ...] = ()
    directory: str = ""
    ask: bool = False
    agent: str = ""
    max_depth: int = 1


def save_start(home: "Home", start: Start) -> None:
    """Records how a thread is run from now on."""
    target = _file(home, start.thread)
    data = json.dumps({"version": _VERSION, **asdict(start)}, ensure_ascii=False, indent=1)
    with explained(target):
        target.parent.mkdir(mode=0o700, exist_ok=True)
        publish(data.encode("utf-8", "backslashreplace"), target, home.path / "tmp")


def load_start(home: "Home", thread: str) -> Start | None:
    """How a thread was started; None where it was not from the command line.

    Raises:
        HomeError: the file is damaged.
        StateVersionError: a newer version wrote it.
    """
    file = _file(home, thread)
    try:
        with explained(file):
            given: dict[str, Any] = json.loads(file.read_text("utf-8"))
        check_version(given["version"], f"{file}")
        return start_from(thread, given)
    except HomeError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise HomeError(f"{file} is damaged: remove it, and resume with --model and --budget.") from error


def start_from(thread: str, given: Mapping[str, Any]) -> Start:
    """How a thread is started, from plain values; KeyError, TypeError or ConfigError where they are none."""
    bounds = {f.name: given["budget"][f.name] for f in fields(Budget) if f.name in given["budget"]}
    names = {key: tuple(map(str, _listed(given.get(key, [])))) for key in ("tools", "tips")}
    return Start(
        thread,
        str(given["model"]),
        given["sub_model"],
        Budget(**bounds),
        **names,
        directory=str(given.get("directory", "")),
        ask=given.get("ask") is True,
        agent=str(given.get("agent", "")),
        max_depth=int(given.get("max_depth", 1)),
    )


def forget_start(home: "Home", thread: str) -> None:
    """Forgets how a thread was started."""
    file = _file(home, thread)
    with explained(file):
        file.unlink(missing_ok=True)


def find_start(home: "Home", thread: str) -> Start | None:
    """How a thread was started; a fork that was never run is started as the run that it was forked from."""
    found, run = load_start(home, thread), home.runs.newest(thread, "", AGENT)
    if found is not None or run is None:
        return found
    for origin in home.runs.descent(run[0].id)[1:]:
        above = home.runs.get(origin).thread
        start = None if above is None else load_start(home, above)
        if start is not None:
            return replace(start, thread=thread)
    return None


def _file(home: "Home", thread: str) -> Path:
    name = hashlib.sha256(thread.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return home.path / "cli" / f"{name}.json"


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value
