"""Paths: what a worker may read beside its scratch directory: the system's libraries, Python, this package.

Invariant: neither the user's home nor the directory that the host runs in is among them; of an environment that lies in
one of those, only its own parts are.
"""

import os
import sys
from dataclasses import dataclass

import rlm_agent

__all__ = ["Readable", "readable"]

SYSTEM = (
    "/usr/share",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/fonts",
    "/sys/devices/system/cpu",
    "/proc/self",
    "/dev/zero",  # not to be written: mapped so, it is memory that belongs to no process
)
PROGRAMS = ("/bin", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec")
DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
# Of an environment; its root may be a project or a home that holds other things.
PARTS = ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg")
PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Readable:
    """Lists of paths; see `landlock.restrict`."""

    files: tuple[str, ...]
    programs: tuple[str, ...]
    devices: tuple[str, ...]


def readable() -> Readable:
    """What this interpreter needs."""
    prefixes = dict.fromkeys((sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix))
    programs = [os.path.join(prefix, part) for prefix in prefixes for part in PARTS]
    files = [entry for entry in sys.path if _holds_packages(entry)]
    return Readable(
        files=(*SYSTEM, *map(os.path.realpath, rlm_agent.__path__), *files),
        programs=(*PROGRAMS, *programs),
        devices=DEVICES,
    )


def _holds_packages(entry: str) -> bool:
    return os.path.basename(entry) in PACKAGES or entry.endswith(".zip")
