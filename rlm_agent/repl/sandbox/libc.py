"""Libc: the calls that Python has no function for, through ctypes. An error is an OSError that names the call."""

import ctypes
import functools
import os
import platform
from typing import Any

from rlm_agent.repl.sandbox.syscalls import NUMBERS

__all__ = ["called", "few_arenas", "machine", "mount", "number", "prctl", "syscall", "unshare"]


M_ARENA_MAX = -8


@functools.cache
def _library() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def machine() -> str:
    """The architecture, as `syscalls.NUMBERS` names it; a program of 32 bits has other numbers than its system."""
    return platform.machine() if ctypes.sizeof(ctypes.c_void_p) == 8 else "32 bits"


def number(name: str) -> int:
    """Number of a system call here.

    Raises:
        OSError: this architecture is not known or has no such call.
    """
    table = NUMBERS.get(machine(), {})
    if name not in table:
        raise OSError(38, f"{name} on {machine()} is not known")
    return table[name]


def called(result: int, name: str) -> int:
    """The result of a call, unless it failed.

    Raises:
        OSError: it did.
    """
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def syscall(name: str, *arguments: Any) -> int:
    """A system call by name; an int is passed as a long, bytes as a pointer to them.

    Raises:
        OSError: as `number`, or the call's own.
    """
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return called(_library().syscall(ctypes.c_long(number(name)), *words), name)


def prctl(option: int, *arguments: int) -> int:
    """prctl(2), the arguments that are not given as zero."""
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return called(_library().prctl(ctypes.c_int(option), *words), f"prctl({option})")


def unshare(flags: int) -> int:
    """unshare(2), which Python has only since 3.12."""
    return called(_library().unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, flags: int) -> int:
    """mount(2) of a directory that is there already."""
    return called(
        _library().mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None),
        f"mount on {target}",
    )


def few_arenas() -> None:
    """Keeps glibc from reserving 64 MB of address space for each thread, which would count as memory in use."""
    mallopt = getattr(_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
