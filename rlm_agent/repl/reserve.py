"""Reserve: address space that a cell does not get, so that there is room to report a cell that took all there was."""

import resource

__all__ = ["DEEP_STACK", "RESERVE", "deep_stack_taken", "hold_back", "release"]

RESERVE = 64 << 20
DEEP_STACK = 256 << 20
"""Bytes of the stack on which a snapshot is taken. The C library keeps it mapped after that."""

_stack_to_come = DEEP_STACK


def deep_stack_taken(size: int) -> None:
    """A stack of so many bytes is mapped from now on, and need not be held back any longer."""
    global _stack_to_come
    _stack_to_come = min(_stack_to_come, DEEP_STACK - size)


def hold_back() -> None:
    """A cell begins. Where address space is not bounded nothing is held back."""
    _set(RESERVE + _stack_to_come)


def release() -> None:
    """A cell has ended or failed."""
    _set(0)


def _set(held: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard > held:
        resource.setrlimit(resource.RLIMIT_AS, (hard - held, hard))
