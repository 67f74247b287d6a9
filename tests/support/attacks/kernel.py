"""Attacks by what the kernel offers: mounts, namespaces, keys, tracing, programs in the kernel, devices."""

import ctypes
import os
import platform
import struct

from attack import attack
from attacks.prelude import LIBC, compat_syscall, libc, low_memory, power, scene, syscall


@attack("read", succeeds_when_off="root")
def bind_mount_into_the_scratch() -> None:
    os.mkdir("here")
    libc("mount", scene.outside, os.path.abspath("here"), "", 0x1000, None)
    print(open("here/secret").read())


@attack("read", succeeds_when_off="root")
def open_tree_and_move_mount() -> None:
    os.mkdir("here")
    tree = syscall("open_tree", -100, scene.outside, 1)
    syscall("move_mount", tree, "", -100, os.path.abspath("here"), 4)
    print(open("here/secret").read())


@attack("read", succeeds_when_off="root")
def a_detached_tree() -> None:
    tree = syscall("open_tree", -100, scene.outside, 1)
    print(os.read(os.open("secret", os.O_RDONLY, dir_fd=tree), 100))


@attack("power", succeeds_when_off="root")
def a_file_system_of_its_own() -> None:
    context = syscall("fsopen", "tmpfs", 0)
    syscall("fsconfig", context, 6, None, None, 0)
    power(f"a mount {syscall('fsmount', context, 0, 0)}")


@attack("written", succeeds_when_off="root")
def mount_over_the_outside() -> None:
    libc("mount", "none", scene.outside, "tmpfs", 0, None)


@attack("power", succeeds_when_off="root")
def change_a_mount() -> None:
    syscall("mount_setattr", -100, "/proc", 0, struct.pack("QQQQ", 0x2, 0, 0, 0), 32)
    power("mount_setattr")


@attack("read", succeeds_when_off="root")
def change_the_root() -> None:
    os.chroot(scene.outside)
    print(open("/secret").read())


@attack("power", succeeds_when_off="root")
def pivot_the_root() -> None:
    path = os.path.abspath("root")
    os.mkdir(path)
    libc("mount", "none", path, "tmpfs", 0, None)
    os.mkdir(path + "/old")
    child = os.fork()
    if child == 0:
        try:
            libc("unshare", 0x20000)
            syscall("pivot_root", path, path + "/old")
            os._exit(7)
        finally:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7:
        power("pivot_root")
    libc("umount2", path, 2)


@attack("power")
def a_user_namespace() -> None:
    child = os.fork()
    if child == 0:
        try:
            libc("unshare", 0x10000000 | 0x20000)
            os._exit(7)
        finally:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7:
        power("unshare")


@attack("power")
def a_user_namespace_by_clone() -> None:
    flags = 0x10000000 | 17
    child = syscall("clone", flags, 0, 0, 0, 0)
    if child == 0:
        os._exit(7)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7:
        power("clone")


@attack("power")
def a_user_namespace_by_clone3() -> None:
    arguments = struct.pack("11Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
    child = syscall("clone3", arguments, 64)
    if child == 0:
        os._exit(7)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7:
        power("clone3")


@attack("power", succeeds_when_off="root")
def enter_the_hosts_namespaces() -> None:
    for kind in ("net", "mnt", "ipc"):
        fd = os.open(f"/proc/{scene.host}/ns/{kind}", os.O_RDONLY)
        syscall("setns", fd, 0)
        power("setns " + kind)


@attack("power", succeeds_when_off="root")
def enter_namespaces_by_a_process_descriptor() -> None:
    syscall("setns", syscall("pidfd_open", scene.host, 0), 0x40000000 | 0x8000000)
    power("setns")


@attack("power")
def a_key_for_the_user() -> None:
    syscall("add_key", "user", "planted", b"planted", 7, -4)
    power("add_key")


@attack("power")
def the_users_keyring() -> None:
    power(f"keyring {syscall('keyctl', 0, -4, 1)}")


@attack("power")
def ask_for_a_key() -> None:
    try:
        syscall("request_key", "user", "nobody has it", None, 0)
    except OSError as error:
        # "no such key": it looked.
        if error.errno != 126:
            raise
    power("request_key")


@attack("power", succeeds_when_off="root")
def a_program_in_the_kernel() -> None:
    attributes = struct.pack("IIII", 2, 4, 8, 1).ljust(120, b"\0")
    power(f"a map {syscall('bpf', 0, attributes, 120)}")


@attack("power", succeeds_when_off="root")
def performance_counters() -> None:
    attributes = struct.pack("IIQ", 1, 128, 0).ljust(128, b"\0")
    power(f"perf {syscall('perf_event_open', attributes, scene.host, -1, -1, 0)}")


@attack("power")
def performance_counters_of_its_own() -> None:
    attributes = struct.pack("IIQ", 1, 128, 1).ljust(40, b"\0") + struct.pack("Q", 0x60)
    power(f"perf {syscall('perf_event_open', attributes.ljust(128, bytes(1)), 0, -1, -1, 0)}")


@attack("power")
def page_faults_in_user_space() -> None:
    power(f"userfaultfd {syscall('userfaultfd', 0o4000 | 1)}")


@attack("power")
def io_uring() -> None:
    power(f"ring {syscall('io_uring_setup', 1, ctypes.create_string_buffer(120))}")


@attack("power")
def the_32_bit_gate() -> None:
    power(f"getpid {compat_syscall(20)}")


@attack("power", not_real="this kernel has no x32 table, which most have not; where there is one the filter decides")
def the_x32_table() -> None:
    if platform.machine() == "x86_64":
        power(f"getpid {libc('syscall', 39 | 0x40000000)}")


@attack("read")
def shared_memory_of_system_v() -> None:
    segment = libc("shmget", scene.segment, 4096, 0)
    LIBC.shmat.restype = ctypes.c_void_p
    print(ctypes.string_at(LIBC.shmat(segment, None, 0o10000)))


@attack("power", not_real="whether there is a disk that opens, even to root, is the machine's affair")
def a_raw_disk() -> None:
    names = [line.split()[3] for line in open("/proc/partitions").read().splitlines()[2:]]
    for name in names:
        power(repr(open("/dev/" + name, "rb").read(16)))


@attack("power", succeeds_when_off="root")
def a_device_of_its_own() -> None:
    os.mknod("memory", 0o020600, os.makedev(1, 1))
    power("mknod")


@attack("power", succeeds_when_off="root")
def the_kernels_log() -> None:
    power(repr(os.read(os.open("/dev/kmsg", os.O_RDONLY), 8192)))


@attack("power")
def a_pseudo_terminal() -> None:
    power(f"terminal {os.openpty()}")


@attack("power")
def shared_memory_of_posix() -> None:
    with open("/dev/shm/rlm-planted", "w") as file:
        file.write("planted")
    os.unlink("/dev/shm/rlm-planted")
    power("/dev/shm")


@attack("written", succeeds_when_off="root")
def the_hosts_name() -> None:
    syscall("sethostname", b"planted", 7)


@attack("written", succeeds_when_off="root")
def the_hosts_name_by_proc_sys() -> None:
    with open("/proc/sys/kernel/hostname", "w") as file:
        file.write("planted")


@attack("power", succeeds_when_off="root")
def write_under_sys() -> None:
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    os.close(os.open(path, os.O_WRONLY))
    power("open for writing: " + path)


@attack("read")
def message_queue_of_posix() -> None:
    # It lies in a name space beside the file system, one an IPC namespace.
    LIBC.mq_open.restype = ctypes.c_int
    queue = libc("mq_open", scene.queue, 0)
    text = ctypes.create_string_buffer(8192)
    libc("mq_receive", queue, text, 8192, None)
    print(text.value)


@attack("read")
def messages_by_number() -> None:
    # The number of a queue of System V is small; nothing has to be opened.
    text = ctypes.create_string_buffer(8192)
    for number in range(200):
        if LIBC.msgrcv(number, text, 8000, ctypes.c_long(0), 0o4000) > 0:
            print(text.raw[8:100])


@attack("written")
def set_the_set_user_id_bit_of_a_copy_outside() -> None:
    os.chmod(scene.outside + "/target", 0o6755)
    open(scene.outside + "/target", "w").write("#!/bin/sh\n")


@attack("written")
def the_32_bit_gate_writes() -> None:
    # unlink by its number in the other table
    compat_syscall(10, low_memory(os.fsencode(scene.outside + "/target")))
