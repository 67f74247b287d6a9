"""Interpreter: state outside of the namespace that a cell may rely on, as bytes and back. Runs in the worker only."""

import decimal
import os
import pickle
import random
import sys
import warnings
from contextlib import suppress
from typing import Any

import numpy

from rlm_agent.repl.dumping import Loss

__all__ = ["interpreter_state", "restore_interpreter"]


def interpreter_state(base_path: list[str], scratch: str) -> tuple[bytes, list[Loss]]:
    """Random generators, decimal context, warnings filters, the working directory where it is within this scratch
    directory, and what was added to this `sys.path`; and what of it cannot be saved."""
    filters, losses = _saved_filters()
    state = {
        "random": random.getstate(),
        "numpy": numpy.random.get_state(),
        "decimal": decimal.getcontext(),
        "path": [str(entry) for entry in sys.path if entry not in base_path and isinstance(entry, str)],
        "filters": filters,
        "directory": _directory(scratch),
    }
    return pickle.dumps(state), losses


def restore_interpreter(data: bytes, scratch: str) -> None:
    """Counterpart of `interpreter_state`."""
    state = pickle.loads(data)
    random.setstate(state["random"])
    numpy.random.set_state(state["numpy"])
    decimal.setcontext(state["decimal"])
    sys.path.extend(entry for entry in state["path"] if entry not in sys.path)
    with suppress(OSError):
        os.chdir(os.path.join(scratch, state.get("directory", "")))
    if "filters" in state:
        _restore_filters(state["filters"])


def _saved_filters() -> tuple[list[bytes], list[Loss]]:
    """Each filter by itself: it may name a class that a cell made, and no longer has under its name."""
    saved, losses = list[bytes](), list[Loss]()
    for entry in warnings.filters:
        try:
            data = pickle.dumps(entry)
            pickle.loads(data)
        except Exception as error:  # noqa: BLE001  # a filter is what a cell put there
            why = f"it cannot be saved ({type(error).__name__}: {error!s:.200})"
            losses.append(Loss("warnings.filters", f"filter {entry!r:.100}", why))
        else:
            saved.append(data)
    return saved, losses


def _restore_filters(saved: list[bytes]) -> None:
    filters = list[Any]()
    for data in saved:
        # What it names may be a variable that was lost, and is named as such.
        with suppress(Exception):
            filters.append(pickle.loads(data))
    warnings.resetwarnings()
    warnings.filters.extend(filters)  # type: ignore[attr-defined]  # the list itself is what Python reads


def _directory(scratch: str) -> str:
    """Where the process stands, relative to the scratch directory; "" where it is outside, or gone."""
    try:
        relative = os.path.relpath(os.path.realpath(os.getcwd()), os.path.realpath(scratch))
    except OSError:
        return ""
    return "" if relative == "." or relative.startswith("..") else relative
