"""Mounts: every file system is read-only but the scratch directory, in a mount namespace of the worker's own.

This is what keeps mode, owner, times and extended attributes of files outside scratch as they are, by path or by
descriptor, while inside scratch `os.chmod` and its relatives work: neither Landlock nor seccomp can tell the two apart.
Reading is left to Landlock.
"""

import os
import struct

from rlm_agent.repl.sandbox.libc import mount, syscall

__all__ = ["make_read_only"]

AT_FDCWD, AT_RECURSIVE = -100, 0x8000
BIND, PRIVATE = 0x1000, 1 << 18
READ_ONLY, NO_SUID = 1, 2


def make_read_only(scratch: str) -> None:
    """Makes all but `scratch` read-only and enters `scratch`; needs the namespaces.

    Raises:
        OSError: the kernel is older than 5.12, or a mount cannot be changed.
    """
    mount(scratch, scratch, BIND)
    _change("/", AT_RECURSIVE, on=READ_ONLY | NO_SUID, propagation=PRIVATE)
    _change(scratch, 0, off=READ_ONLY)
    # A working directory from before is still on the mount that is read-only now.
    os.chdir(scratch)


def _change(path: str, flags: int, *, on: int = 0, off: int = 0, propagation: int = 0) -> None:
    attributes = struct.pack("=QQQQ", on, off, propagation, 0)
    syscall("mount_setattr", AT_FDCWD, os.fsencode(path), flags, attributes, len(attributes))
