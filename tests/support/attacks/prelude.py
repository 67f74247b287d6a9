"""What every attacker has: raw system calls, and knowledge of the scene. Runs in the worker, before the attack."""

import ctypes
import mmap
import os
import platform
import struct
from types import SimpleNamespace
from typing import Any

scene: Any = SimpleNamespace()

# name: (x86_64, aarch64); None where the machine has none.
NUMBERS = {
    "open": (2, None),
    "clone": (56, 220),
    "vfork": (58, None),
    "kill": (62, 129),
    "rt_sigqueueinfo": (129, 138),
    "tgkill": (234, 131),
    "ptrace": (101, 117),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "mount": (165, 40),
    "sethostname": (170, 161),
    "futimesat": (261, None),
    "openat": (257, 56),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "ioprio_set": (251, 30),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "sched_setattr": (314, 274),
    "renameat2": (316, 276),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount_setattr": (442, 442),
    "fchmodat2": (452, 452),
    "setxattrat": (463, 463),
    "getxattrat": (464, 464),
    "file_setattr": (469, 469),
}
LIBC = ctypes.CDLL(None, use_errno=True)


def _argument(value: Any) -> Any:
    if value is None:
        return ctypes.c_void_p(None)
    if isinstance(value, str):
        return ctypes.c_char_p(os.fsencode(value))
    if isinstance(value, bytes):
        return ctypes.c_char_p(value)
    return ctypes.c_long(value) if isinstance(value, int) else value


def libc(name: str, *args: Any) -> int:
    """A function of libc, which raises OSError where it fails."""
    function = getattr(LIBC, name)
    function.restype = ctypes.c_long
    result: int = function(*map(_argument, args))
    if ctypes.c_int(result).value == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def syscall(name: str, *args: Any) -> int:
    """A raw system call, past every wrapper."""
    number = NUMBERS[name][platform.machine() == "aarch64"]
    if number is None:
        raise NotImplementedError(f"this machine has no {name}")
    try:
        return libc("syscall", number, *args)
    except OSError as error:
        raise OSError(error.errno, f"{name}: {os.strerror(error.errno or 0)}") from None


def compat_syscall(number: int, *args: int) -> int:
    """A system call by the 32-bit gate of x86, which has numbers of its own."""
    if platform.machine() != "x86_64":
        raise NotImplementedError("this machine has no 32-bit gate")
    page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
    code = b"\x53"
    for opcode, value in zip((b"\xb8", b"\xbb", b"\xb9", b"\xba"), (number, *args), strict=False):
        code += opcode + struct.pack("<I", value & 0xFFFFFFFF)
    page.write(code + b"\xcd\x80\x48\x63\xc0\x5b\xc3")
    call = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    result = call()
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def low_memory(data: bytes) -> int:
    """Bytes at an address that 32 bits can name."""
    LIBC.mmap.restype = ctypes.c_void_p
    address = LIBC.mmap(None, ctypes.c_size_t(4096), 3, 0x62, -1, ctypes.c_long(0))
    ctypes.memmove(address, data + b"\0", len(data) + 1)
    return int(address)


class Ring:
    """An io_uring that does one operation at a time."""

    def __init__(self) -> None:
        params = ctypes.create_string_buffer(120)
        self.fd = syscall("io_uring_setup", 4, params)
        words = struct.unpack("<30I", params.raw)
        self.sq, self.cq = words[10:18], words[20:28]
        size = max(self.sq[6] + 4 * words[0], self.cq[5] + 16 * words[1])
        self.rings = mmap.mmap(self.fd, size)
        self.entries = mmap.mmap(self.fd, 64 * words[0], offset=0x10000000)

    def word(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.rings, at)[0])

    def do(self, opcode: int, fd: int, offset: int, address: int, length: int, flags: int = 0) -> int:
        entry = struct.pack("<BBHiQQII", opcode, 0, 0, fd, offset, address, length, flags)
        tail = self.word(self.sq[1])
        index = tail & self.word(self.sq[2])
        self.entries[64 * index : 64 * index + 64] = entry.ljust(64, b"\0")
        struct.pack_into("<I", self.rings, self.sq[6] + 4 * index, index)
        struct.pack_into("<I", self.rings, self.sq[1], tail + 1)
        syscall("io_uring_enter", self.fd, 1, 1, 1, None, 0)
        head = self.word(self.cq[0])
        at = self.cq[5] + 16 * (head & self.word(self.cq[2]))
        (result,) = struct.unpack_from("<i", self.rings, at + 8)
        struct.pack_into("<I", self.rings, self.cq[0], head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return int(result)


def inet(port: int) -> bytes:
    """A socket address of the loopback."""
    return struct.pack("<H", 2) + struct.pack(">H", port) + bytes([127, 0, 0, 1]) + bytes(8)


def regions(pid: str | int) -> list[tuple[int, int]]:
    """Readable private memory of a process, as (start, end)."""
    found = []
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            span, mode, _offset, _device, inode = line.split()[:5]
            if mode.startswith("rw") and inode == "0":
                start, _, end = span.partition("-")
                found.append((int(start, 16), int(end, 16)))
    return found
