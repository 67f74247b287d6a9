"""Attacks on what is told of a file outside: its mode, owner, times, attributes and flags."""

import ctypes
import fcntl
import os
import struct

from attack import attack
from attacks.prelude import libc, scene, syscall


@attack("metadata", "chmod by path", by="mounts seccomp")
def chmod_by_path() -> None:
    os.chmod(scene.outside + "/target", 0o4777)


@attack("metadata", "chmod by path", by="mounts seccomp")
def chmod_by_a_directory_descriptor() -> None:
    os.chmod("target", 0o777, dir_fd=os.open(scene.outside, os.O_PATH))


@attack("metadata", "chmod by a link of /proc/self", by="mounts seccomp")
def chmod_of_a_path_descriptor() -> None:
    held = os.open(scene.outside + "/target", os.O_PATH)
    os.chmod(f"/proc/self/fd/{held}", 0o777)


@attack("metadata", "fchmodat2", by="mounts seccomp")
def fchmodat2() -> None:
    syscall("fchmodat2", os.open(scene.outside + "/target", os.O_PATH), "", 0o777, 0x1000)


@attack("metadata", "fchmod", by="mounts landlock seccomp")
def fchmod_of_an_open_file() -> None:
    os.fchmod(os.open(scene.outside + "/target", os.O_RDONLY), 0o777)


@attack("metadata", "chown", by="namespaces privileges", succeeds_when_off="root")
def chown_by_path() -> None:
    os.chown(scene.outside + "/target", 12345, 12345)


@attack("metadata", "chown", by="namespaces privileges", succeeds_when_off="root")
def chown_of_a_link() -> None:
    os.lchown(scene.outside + "/link", 12345, 12345)


@attack("metadata", "chown", by="namespaces privileges", succeeds_when_off="root")
def chown_of_a_path_descriptor() -> None:
    libc("fchownat", os.open(scene.outside + "/target", os.O_PATH), "", 12345, 12345, 0x1000)


@attack("metadata", "utimensat", by="mounts seccomp")
def times_by_path() -> None:
    os.utime(scene.outside + "/target", (1, 1))


@attack("metadata", "utimensat", by="mounts seccomp")
def times_of_a_path_descriptor() -> None:
    held = os.open(scene.outside + "/target", os.O_PATH)
    libc("utimensat", held, "", None, 0x1000)


@attack("metadata", "utimensat", by="mounts seccomp")
def times_of_a_link() -> None:
    os.utime(scene.outside + "/link", (1, 1), follow_symlinks=False)


@attack("metadata", "utimes", by="mounts seccomp")
def old_calls_for_times() -> None:
    libc("utimes", scene.outside + "/target", struct.pack("4q", 1, 0, 1, 0))


@attack("metadata", "setxattr", by="mounts seccomp")
def set_an_extended_attribute() -> None:
    os.setxattr(scene.outside + "/target", "user.note", b"changed")


@attack("metadata", "removexattr", by="mounts seccomp")
def remove_an_extended_attribute() -> None:
    os.removexattr(scene.outside + "/target", "user.note")


@attack("metadata", "setxattr", by="mounts seccomp")
def set_an_extended_attribute_of_a_directory() -> None:
    os.setxattr(scene.outside, "user.planted", b"x")


@attack("metadata", "setxattr", by="mounts seccomp")
def setxattrat() -> None:
    value = ctypes.create_string_buffer(b"changed")
    arguments = struct.pack("QII", ctypes.addressof(value), 7, 0)
    syscall("setxattrat", -100, scene.outside + "/target", 0, "user.note", arguments, len(arguments))


@attack("metadata", "flags by ioctl", by="mounts landlock seccomp")
def flags_by_ioctl() -> None:
    fd = os.open(scene.outside + "/target", os.O_RDONLY)
    fcntl.ioctl(fd, 0x40086602, struct.pack("q", 0x80000 | 0x40))


@attack("metadata", "flags by ioctl", by="mounts landlock seccomp")
def extended_flags_by_ioctl() -> None:
    fd = os.open(scene.outside + "/target", os.O_RDONLY)
    fcntl.ioctl(fd, 0x401C5820, struct.pack("5I8x", 0x80, 0, 0, 0, 0))


@attack("metadata", "file_setattr", by="mounts seccomp")
def file_setattr() -> None:
    attributes = struct.pack("QIIII", 0x80, 0, 0, 0, 0)
    syscall("file_setattr", -100, scene.outside + "/target", attributes, len(attributes), 0)
