"""Tables that tests fill in and that are printed at the end, whichever processes the tests ran in."""

import pytest

__all__ = ["hand_over", "merge", "table"]

_TABLES = pytest.StashKey[dict[str, dict[tuple[str, ...], str]]]()


def table(config: pytest.Config, name: str) -> dict[tuple[str, ...], str]:
    """The table of that name; empty at first."""
    return config.stash.setdefault(_TABLES, {}).setdefault(name, {})


def hand_over(config: pytest.Config) -> None:
    """A worker of pytest-xdist ends: its tables go to the process that prints."""
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output["tables"] = config.stash.get(_TABLES, {})


def merge(config: pytest.Config, output: dict[str, dict[str, dict[tuple[str, ...], str]]]) -> None:
    """What a worker has handed over is joined to the tables here."""
    for name, cells in output.get("tables", {}).items():
        table(config, name).update(cells)
