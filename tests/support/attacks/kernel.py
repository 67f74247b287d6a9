"""Attacks by what the kernel offers: mounts, namespaces, keys, tracing, programs in the kernel, devices."""

import ctypes
import os
import platform
import struct
import time

from attack import attack
from attacks.prelude import LIBC, compat_syscall, libc, low_memory, scene, syscall


@attack("read", "mount", by="privileges", succeeds_when_off="root")
def bind_mount_into_the_scratch() -> None:
    os.mkdir("here")
    libc("mount", scene.outside, os.path.abspath("here"), "", 0x1000, None)
    print(open("here/secret").read())


@attack("read", "open_tree", by="privileges", succeeds_when_off="root")
def open_tree_and_move_mount() -> None:
    os.mkdir("here")
    tree = syscall("open_tree", -100, scene.outside, 1)
    syscall("move_mount", tree, "", -100, os.path.abspath("here"), 4)
    print(open("here/secret").read())


@attack("read", "open_tree", by="privileges", succeeds_when_off="root")
def a_detached_tree() -> None:
    tree = syscall("open_tree", -100, scene.outside, 1)
    print(os.read(os.open("secret", os.O_RDONLY, dir_fd=tree), 100))


@attack("held", "fsopen", by="privileges", holds="fscontext", succeeds_when_off="root")
def a_file_system_of_its_own() -> None:
    context = syscall("fsopen", "tmpfs", 0)
    syscall("fsconfig", context, 6, None, None, 0)
    syscall("fsmount", context, 0, 0)


@attack("written", "mount", by="namespaces privileges", succeeds_when_off="root")
def mount_over_the_outside() -> None:
    libc("mount", "none", scene.outside, "tmpfs", 0, None)


@attack("written", "mount_setattr", by="namespaces privileges", succeeds_when_off="root")
def change_a_mount() -> None:
    syscall("mount_setattr", -100, "/proc", 0, struct.pack("QQQQ", 0x2, 0, 0, 0), 32)


@attack("read", "chroot", by="privileges", succeeds_when_off="root")
def change_the_root() -> None:
    os.chroot(scene.outside)
    print(open("/secret").read())


@attack("read", "pivot_root", by="privileges", succeeds_when_off="root")
def pivot_the_root() -> None:
    path = os.path.abspath("root")
    os.mkdir(path)
    libc("mount", scene.outside, path, "", 0x1000, None)
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            libc("unshare", 0x20000)
            syscall("pivot_root", path, path + "/empty")
            os.write(tells, open("/secret", "rb").read())
        finally:
            os._exit(0)
    os.close(tells)
    print(os.read(told, 100))
    os.waitpid(child, 0)
    libc("umount2", path, 2)


@attack("held", "new namespaces", by="seccomp", holds="a namespace (user)")
def a_user_namespace() -> None:
    child = os.fork()
    if child == 0:
        try:
            libc("unshare", 0x10000000 | 0x20000)
            time.sleep(0.5)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


@attack("held", "new namespaces", by="seccomp", holds="a namespace (user)")
def a_user_namespace_by_clone() -> None:
    flags = 0x10000000 | 17
    child = syscall("clone", flags, 0, 0, 0, 0)
    if child == 0:
        time.sleep(0.5)
        os._exit(0)
    os.waitpid(child, 0)


@attack("held", "new namespaces", by="seccomp", holds="a namespace (user)")
def a_user_namespace_by_clone3() -> None:
    arguments = struct.pack("11Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
    child = syscall("clone3", arguments, 64)
    if child == 0:
        time.sleep(0.5)
        os._exit(0)
    os.waitpid(child, 0)


@attack(
    "held",
    "setns",
    by="namespaces privileges",
    holds="a namespace (net)",
    succeeds_when_off="root",
)
def enter_anothers_namespaces() -> None:
    for kind in ("net", "ipc", "uts"):
        fd = os.open(f"/proc/{scene.bystander}/ns/{kind}", os.O_RDONLY)
        syscall("setns", fd, 0)


@attack(
    "held",
    "setns",
    by="namespaces privileges",
    holds="a namespace (net)",
    succeeds_when_off="root",
)
def enter_namespaces_by_a_process_descriptor() -> None:
    syscall("setns", syscall("pidfd_open", scene.bystander, 0), 0x40000000 | 0x8000000)


@attack("held", "keyrings", by="seccomp", holds="a key")
def a_key_for_the_user() -> None:
    key = syscall("add_key", "user", os.urandom(8).hex(), b"planted", 7, -4)
    # KEYCTL_SET_TIMEOUT: it is not to stay for ever.
    syscall("keyctl", 15, key, 20)


@attack("read", "keyrings", by="namespaces seccomp")
def the_users_keyring() -> None:
    # KEYCTL_SEARCH, KEYCTL_READ
    text = ctypes.create_string_buffer(200)
    syscall("keyctl", 11, syscall("keyctl", 10, -4, "user", scene.kernel_key, 0), text, 200)
    print(text.value)


@attack("read", "keyrings", by="namespaces seccomp")
def ask_for_a_key() -> None:
    # KEYCTL_LINK: the user's keyring becomes part of the process's, where the kernel looks.
    syscall("keyctl", 8, -4, -2)
    text = ctypes.create_string_buffer(200)
    syscall("keyctl", 11, syscall("request_key", "user", scene.kernel_key, None, 0), text, 200)
    print(text.value)


@attack("held", "bpf", by="namespaces privileges", holds="bpf-map", succeeds_when_off="root")
def a_program_in_the_kernel() -> None:
    attributes = struct.pack("IIII", 2, 4, 8, 1).ljust(120, b"\0")
    syscall("bpf", 0, attributes, 120)


@attack(
    "held",
    "perf_event_open",
    by="namespaces privileges",
    holds="perf_event",
    succeeds_when_off="root",
)
def performance_counters() -> None:
    attributes = struct.pack("IIQ", 1, 128, 0).ljust(128, b"\0")
    syscall("perf_event_open", attributes, scene.host, -1, -1, 0)


@attack("held", "perf_event_open", by="seccomp", holds="perf_event")
def performance_counters_of_its_own() -> None:
    attributes = struct.pack("IIQ", 1, 128, 1).ljust(40, b"\0") + struct.pack("Q", 0x60)
    syscall("perf_event_open", attributes.ljust(128, bytes(1)), 0, -1, -1, 0)


@attack("held", "userfaultfd", by="seccomp", holds="userfaultfd")
def page_faults_in_user_space() -> None:
    syscall("userfaultfd", 0o4000 | 1)


@attack("held", "io_uring", by="seccomp", holds="io_uring")
def io_uring() -> None:
    syscall("io_uring_setup", 1, ctypes.create_string_buffer(120))


@attack(
    "read",
    "x32 table",
    not_real="this kernel has no x32 table, which most have not; where there is one the filter decides",
)
def the_x32_table() -> None:
    if platform.machine() == "x86_64":
        print(os.read(libc("syscall", 2 | 0x40000000, scene.outside + "/secret", 0), 100))


@attack("read", "shared memory of System V", by="namespaces seccomp")
def shared_memory_of_system_v() -> None:
    segment = libc("shmget", scene.segment, 4096, 0)
    LIBC.shmat.restype = ctypes.c_void_p
    print(ctypes.string_at(LIBC.shmat(segment, None, 0o10000)))


@attack(
    "held",
    "raw disk",
    holds="a disk",
    not_real="whether there is a disk that opens, even to root, is the machine's affair",
)
def a_raw_disk() -> None:
    names = [line.split()[3] for line in open("/proc/partitions").read().splitlines()[2:]]
    scene.kept = [os.open("/dev/" + name, os.O_RDONLY) for name in names]


@attack("held", "mknod", by="namespaces privileges", holds="a device", succeeds_when_off="root")
def a_device_of_its_own() -> None:
    os.mknod("memory", 0o020600, os.makedev(1, 1))


@attack("held", "/dev/kmsg", by="namespaces privileges", holds="/dev/kmsg", succeeds_when_off="root")
def the_kernels_log() -> None:
    print(os.read(os.open("/dev/kmsg", os.O_RDONLY), 8192))


@attack("held", "pseudo-terminal", by="landlock", holds="ptmx")
def a_pseudo_terminal() -> None:
    print(os.openpty())


@attack("written", "/dev/shm", by="mounts landlock")
def shared_memory_of_posix() -> None:
    with open("/dev/shm/rlm-planted-" + os.path.basename(os.getcwd()), "w") as file:
        file.write("planted")


@attack("written", "sethostname", by="namespaces privileges", succeeds_when_off="root")
def the_hosts_name() -> None:
    syscall("sethostname", b"planted", 7)


@attack("written", "settings of the kernel", by="mounts landlock", succeeds_when_off="root")
def the_hosts_name_by_proc_sys() -> None:
    with open("/proc/sys/kernel/hostname", "w") as file:
        file.write("planted")


@attack("held", "settings of the kernel", by="mounts landlock", holds="/sys/kernel/mm", succeeds_when_off="root")
def write_under_sys() -> None:
    print(os.open("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY))


@attack("read", "message queue of POSIX", by="namespaces landlock seccomp")
def message_queue_of_posix() -> None:
    # It lies in a name space beside the file system, one an IPC namespace.
    LIBC.mq_open.restype = ctypes.c_int
    queue = libc("mq_open", scene.queue, 0)
    text = ctypes.create_string_buffer(8192)
    libc("mq_receive", queue, text, 8192, None)
    print(text.value)


@attack("read", "messages of System V", by="namespaces seccomp")
def messages_by_number() -> None:
    # The number of a queue of System V is small; nothing has to be opened.
    text = ctypes.create_string_buffer(8192)
    for number in range(200):
        if LIBC.msgrcv(number, text, 8000, ctypes.c_long(0), 0o4000) > 0:
            print(text.raw[8:100])


@attack("written", "chmod by path", by="mounts seccomp")
def set_the_set_user_id_bit_of_a_copy_outside() -> None:
    os.chmod(scene.outside + "/target", 0o6755)
    open(scene.outside + "/target", "w").write("#!/bin/sh\n")


@attack("written", "32-bit gate: files", by="mounts landlock seccomp")
def the_32_bit_gate_writes() -> None:
    # unlink by its number in the other table
    compat_syscall(10, low_memory(os.fsencode(scene.outside + "/target")))
