"""Opens what lies beneath a directory, and nothing else, whatever is renamed or linked meanwhile.

On Linux the kernel resolves the whole path at once and refuses to leave the directory (openat2 with RESOLVE_BENEATH);
links that stay inside are followed. Elsewhere, and on kernels before 5.6, the path is walked name by name, and links
are refused. Invariant: nothing but a regular file or a directory is ever opened for reading, so that no pipe blocks and
no device is touched.
"""

import ctypes
import errno
import os
import stat
import sys
from functools import cache

__all__ = ["Special", "open_beneath"]

_OPENAT2 = 437  # the same number on every architecture
_BENEATH, _NO_MAGICLINKS = 0x08, 0x02
_O_PATH = getattr(os, "O_PATH", 0)
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_TRIES = 8
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISLNK, "a link that is not followed"),
)


class Special(OSError):
    """What is there is neither a regular file nor a directory; `strerror` says what it is."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, path: bytes) -> int:
    """Opens a regular file or a directory for reading.

    Args:
        root: descriptor of the directory.
        path: relative, without "..".

    Returns:
        A descriptor, to be closed by the caller.

    Raises:
        Special: it is a pipe, a socket, a device, or a link that is not followed.
        OSError: it is not there, leads out, or cannot be read.
    """
    if sys.platform == "linux" and _has_openat2() and os.path.isdir("/proc/self/fd"):
        found = _resolve(root, path)
        try:
            _refuse_special(os.fstat(found))
            return os.open(f"/proc/self/fd/{found}", _READ)
        finally:
            os.close(found)
    return _walk(root, path)


def _resolve(root: int, path: bytes) -> int:
    for _ in range(_TRIES):  # EAGAIN: something was renamed while the path was resolved
        try:
            return _openat2(root, path, _O_PATH | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, "keeps changing while it is opened")


def _openat2(root: int, path: bytes, flags: int) -> int:
    how = _OpenHow(flags, 0, _BENEATH | _NO_MAGICLINKS)
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(root),
        ctypes.c_char_p(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(found)


@cache
def _has_openat2() -> bool:
    """Whether the kernel has the call and lets it through."""
    here = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_openat2(here, b".", _O_PATH | os.O_CLOEXEC))
    except OSError:
        return False
    finally:
        os.close(here)
    return True


def _walk(root: int, path: bytes) -> int:
    *above, last = [name for name in path.split(b"/") if name not in (b"", b".")] or [b"."]
    here = os.dup(root)
    try:
        for name in above:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        before = os.stat(last, dir_fd=here, follow_symlinks=False)
        _refuse_special(before)
        found = os.open(last, _READ | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)
    after = os.fstat(found)
    if (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino):
        os.close(found)
        raise OSError(errno.EAGAIN, "changed while it was opened")
    return found


def _refuse_special(found: os.stat_result) -> None:
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise Special(errno.EINVAL, name)
