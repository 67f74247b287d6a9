"""Recursive Language Models as a durable LangGraph agent.

Start with `create_rlm_agent`; the README holds a newcomer's path. Importing this package imports nothing else: names
are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm_agent.agent import create_rlm_agent
    from rlm_agent.corpus import Corpus
    from rlm_agent.errors import (
        BudgetExceeded,
        ConfigError,
        HomeError,
        KernelError,
        LeaseHeld,
        LeaseLost,
        ModelError,
        RLMError,
        SandboxUnavailable,
        SnapshotCorrupt,
        StateVersionError,
        ToolError,
    )
    from rlm_agent.human.approvals import BatchView, over
    from rlm_agent.inspection import open_run, runs
    from rlm_agent.settings import Budget, Limits
    from rlm_agent.store.home import Home

_PLACES = {
    "create_rlm_agent": "rlm_agent.agent",
    "BatchView": "rlm_agent.human.approvals",
    "over": "rlm_agent.human.approvals",
    "Corpus": "rlm_agent.corpus",
    "Budget": "rlm_agent.settings",
    "Limits": "rlm_agent.settings",
    "Home": "rlm_agent.store.home",
    "open_run": "rlm_agent.inspection",
    "runs": "rlm_agent.inspection",
}
_ERRORS = (
    "BudgetExceeded",
    "ConfigError",
    "HomeError",
    "KernelError",
    "LeaseHeld",
    "LeaseLost",
    "ModelError",
    "RLMError",
    "SandboxUnavailable",
    "SnapshotCorrupt",
    "StateVersionError",
    "ToolError",
)

__all__ = [
    "BatchView",
    "Budget",
    "BudgetExceeded",
    "ConfigError",
    "Corpus",
    "Home",
    "HomeError",
    "KernelError",
    "LeaseHeld",
    "LeaseLost",
    "Limits",
    "ModelError",
    "RLMError",
    "SandboxUnavailable",
    "SnapshotCorrupt",
    "StateVersionError",
    "ToolError",
    "create_rlm_agent",
    "open_run",
    "over",
    "runs",
]


def __getattr__(name: str) -> Any:
    place = "rlm_agent.errors" if name in _ERRORS else _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'rlm_agent' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted(__all__)
