"""Landlock: which files a process may open, and, as far as the kernel's version goes, whom it may reach otherwise.

Rights by version of the ABI: 1 files and directories, 2 renaming across directories, 3 truncation, 4 TCP, 5 ioctl of
devices, 6 signals and abstract unix sockets. What a version lacks is the other layers' (`policy.py`). Landlock has no
say in metadata; there it leaves `stat` open (see docs/security.md).
"""

import os
import stat
import struct
from collections.abc import Sequence

from rlm_agent.repl.sandbox.libc import syscall

__all__ = ["SIGNALS_SINCE", "TRUNCATE_SINCE", "restrict", "version"]

SIGNALS_SINCE = 6
TRUNCATE_SINCE = 3

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = (1 << bit for bit in range(4))
MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
# Bits of file system rights that a version knows; later ones know no more.
KNOWN_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
ALL_TCP, ALL_SCOPES = 0b11, 0b11
RULE_PATH = 1
ASK_VERSION = 1


def version() -> int:
    """Version of the ABI.

    Raises:
        OSError: this kernel has no Landlock, or it is switched off.
    """
    return syscall("landlock_create_ruleset", None, 0, ASK_VERSION)


def _handled(abi: int) -> int:
    return (1 << KNOWN_BITS.get(abi, 16)) - 1


def _attributes(abi: int) -> bytes:
    """The rule set's head: all that this version can forbid is forbidden unless a rule allows it."""
    network = ALL_TCP if abi >= 4 else 0
    scopes = ALL_SCOPES if abi >= SIGNALS_SINCE else 0
    size = 8 if abi < 4 else 16 if abi < SIGNALS_SINCE else 24
    return struct.pack("=QQQ", _handled(abi), network, scopes)[:size]


def restrict(readable: Sequence[str], programs: Sequence[str], devices: Sequence[str], scratch: str) -> None:
    """Restricts this thread, and what it starts, to these paths. Those that do not exist are left out.

    Args:
        readable: files and directories, with all below them.
        programs: the same, and what is there may be executed.
        devices: files that may be read and written.
        scratch: the one directory where everything may be done but execution and device files.

    Raises:
        OSError: the kernel refused.
    """
    abi = version()
    attributes = _attributes(abi)
    ruleset = syscall("landlock_create_ruleset", attributes, len(attributes), 0)
    reading = READ_FILE | READ_DIR
    own = _handled(abi) & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK | MAKE_SOCK)
    try:
        for paths, rights in (
            (readable, reading),
            (programs, reading | EXECUTE),
            (devices, READ_FILE | WRITE_FILE),
            ([scratch], own),
        ):
            for path in paths:
                _allow(ruleset, path, rights & _handled(abi))
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            rights &= OF_FILES
        syscall("landlock_add_rule", ruleset, RULE_PATH, struct.pack("=Qi", rights, beneath), 0)
    finally:
        os.close(beneath)
