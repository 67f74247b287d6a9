"""Seccomp: hands the kernel the filter that `policy.py` and `bpf.py` make. Nothing takes it away again."""

import ctypes
import os
import struct

from rlm_agent.repl.sandbox.bpf import AUDIT_ARCH, program
from rlm_agent.repl.sandbox.libc import machine, syscall
from rlm_agent.repl.sandbox.policy import policy
from rlm_agent.repl.sandbox.syscalls import NEWEST, NUMBERS

__all__ = ["install"]

SET_MODE_FILTER = 1
# Without it older kernels slow all code of the process down, against an attack of cells on their own process.
SPECULATION_ALLOWED = 4
INSTRUCTION = 8


def install(*, signals: bool, metadata: bool) -> None:
    """Filters the calls of this thread and of what it starts; needs `no_new_privs`.

    Args:
        signals: as `policy.policy`.
        metadata: as `policy.policy`.

    Raises:
        OSError: the kernel or the architecture has no filters.
    """
    here = machine()
    if here not in AUDIT_ARCH:
        raise OSError(38, f"system calls of {here} are not known")
    code = program(policy(os.getpid(), signals=signals, metadata=metadata), NUMBERS[here], here, NEWEST)
    kept = ctypes.create_string_buffer(code, len(code))
    filter_program = struct.pack("@HP", len(code) // INSTRUCTION, ctypes.addressof(kept))
    syscall("seccomp", SET_MODE_FILTER, SPECULATION_ALLOWED, filter_program)
