"""Reserve: address space that a cell does not get, so that there is room to report a cell that took all there was."""

import resource

__all__ = ["DEEP_STACK", "RESERVE", "hold_back", "release"]

RESERVE = 64 << 20
DEEP_STACK = 256 << 20
"""Bytes of the stack on which a snapshot is taken. The C library keeps it mapped after that."""


def hold_back() -> None:
    """A cell begins. Where address space is not bounded nothing is held back."""
    _set(RESERVE)


def release() -> None:
    """A cell has ended or failed."""
    _set(0)


def _set(held: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard > 2 * RESERVE:
        resource.setrlimit(resource.RLIMIT_AS, (hard - held, hard))
