"""Interpreter: state outside of the namespace that a cell may rely on, as bytes and back. Runs in the worker only."""

import decimal
import pickle
import random
import sys

import numpy

__all__ = ["interpreter_state", "restore_interpreter"]


def interpreter_state(base_path: list[str]) -> bytes:
    """Random generators, decimal context, and what was added to this `sys.path`."""
    return pickle.dumps(
        {
            "random": random.getstate(),
            "numpy": numpy.random.get_state(),
            "decimal": decimal.getcontext(),
            "path": [entry for entry in sys.path if entry not in base_path],
        }
    )


def restore_interpreter(data: bytes) -> None:
    """Counterpart of `interpreter_state`."""
    state = pickle.loads(data)
    random.setstate(state["random"])
    numpy.random.set_state(state["numpy"])
    decimal.setcontext(state["decimal"])
    sys.path.extend(entry for entry in state["path"] if entry not in sys.path)
