"""Ready-made agents: entry points of the group `rlm_agent.agents`, found by name and loaded only when they are named.

An agent is a function `(model, **options)` that hands its options to `create_rlm_agent`, `name` among them.
"""

import difflib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from rlm_agent.errors import ConfigError

__all__ = ["GROUP", "agent_maker", "agent_names", "known_agent"]

GROUP = "rlm_agent.agents"


def agent_names() -> list[str]:
    """The names of all that are installed, sorted; none is loaded."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def known_agent(name: str) -> EntryPoint:
    """The one agent of a name; it is not loaded.

    Raises:
        ConfigError: there is none, or more than one.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if len({entry.value for entry in found}) > 1:
        origins = " and ".join(entry.dist.name if entry.dist else "an unknown package" for entry in found)
        raise ConfigError(f"two agents are named {name!r}, of {origins}: uninstall one of them.")
    if not found:
        names = agent_names()
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no agent is named {name!r}.{meant} Installed: {', '.join(names) or 'none'}.")
    return found[0]


def agent_maker(name: str) -> Callable[..., Any]:
    """What makes an agent.

    Raises:
        ConfigError: there is none of that name, or it is broken; the message says why.
    """
    entry = known_agent(name)
    try:
        maker = entry.load()
    except (Exception, SystemExit) as error:  # importing a stranger's code can end in anything
        raise ConfigError(f"the agent {name!r} cannot be imported: {type(error).__name__}: {error}.") from error
    if not callable(maker):
        raise ConfigError(f"the agent {name!r} is broken: its entry point {entry.value!r} is no function.")
    return maker  # type: ignore[no-any-return]
