"""Attacks on what belongs to the host or to other sessions: keys, scratch directories, channels, text in memory."""

import ctypes
import glob
import os
import socket

from attack import attack
from attacks.prelude import libc, regions, scene, syscall


@attack("read", "/proc/PID/environ", by="namespaces landlock")
def the_hosts_environment() -> None:
    print(open(f"/proc/{scene.host}/environ").read())


@attack("read", "/proc/PID/environ", by="namespaces landlock")
def everybodys_environment() -> None:
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            print(open(path).read())
        except OSError as error:
            print(error)


@attack(
    "read",
    "its own environment",
    not_real="the zygote is started by exec with an environment of its own, sandboxed or not",
)
def its_own_environment() -> None:
    LIBC = ctypes.CDLL(None)
    LIBC.getenv.restype = ctypes.c_char_p
    print(dict(os.environ), LIBC.getenv(b"OPENAI_API_KEY"), open("/proc/self/environ").read())


@attack("read", "/proc/PID/environ", not_real="the zygote's environment holds no key, sandboxed or not")
def the_zygotes_environment() -> None:
    print(open(f"/proc/{scene.zygote}/environ").read())


@attack("read", "its own memory", not_real="nothing of another session or of the host was ever in the zygote's memory")
def its_own_memory() -> None:
    mark = b"canary" + b"-"
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for start, end in regions("self"):
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError):
                continue
            at = data.find(mark)
            while at >= 0:
                print(data[at : at + 60])
                at = data.find(mark, at + 1)


@attack("read", "/proc/PID/cmdline", by="landlock")
def command_lines() -> None:
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            print(open(path).read())
        except OSError as error:
            print(error)


@attack("read", "read another's scratch", by="landlock")
def another_sessions_scratch() -> None:
    print(open(scene.sibling_scratch + "/note").read())


@attack("written", "write another's scratch", by="mounts landlock")
def another_sessions_scratch_is_changed() -> None:
    open(scene.sibling_scratch + "/note", "w").write("changed")


@attack("written", "write another's scratch", by="mounts landlock")
def another_sessions_scratch_is_removed() -> None:
    import shutil

    shutil.rmtree(scene.sibling_scratch)


@attack("read", "read another's scratch", by="landlock")
def a_search_of_all_scratches() -> None:
    for path in glob.glob(os.path.dirname(os.getcwd()) + "/*/*"):
        try:
            print(open(path).read())
        except OSError as error:
            print(error)


@attack("read", "/proc/PID/cwd and root", by="namespaces landlock seccomp")
def another_sessions_directory_through_proc() -> None:
    print(open(f"/proc/{scene.sibling}/cwd/note").read())


@attack("read", "/proc/PID/cwd and root", by="namespaces landlock seccomp")
def another_sessions_root_through_proc() -> None:
    print(open(f"/proc/{scene.sibling}/root{scene.outside}/secret").read())


@attack("harm", "pidfd_getfd", by="namespaces landlock seccomp")
def another_sessions_channel() -> None:
    process = syscall("pidfd_open", scene.sibling, 0)
    for number in range(3, 20):
        try:
            channel = socket.socket(fileno=syscall("pidfd_getfd", process, number, 0))
        except OSError as error:
            print(error)
            continue
        channel.sendall(b"\0\0\0\1\xc0")


@attack("harm", "pidfd_getfd", by="namespaces landlock seccomp")
def the_zygotes_control() -> None:
    process = syscall("pidfd_open", scene.zygote, 0)
    for number in range(3, 20):
        try:
            control = socket.socket(fileno=syscall("pidfd_getfd", process, number, 0))
            control.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            print(error)


@attack("read", "/proc/PID/map_files", by="namespaces privileges", succeeds_when_off="root")
def another_sessions_maps() -> None:
    # The host maps a blob. The path that the link names is not used.
    for path in glob.glob(f"/proc/{scene.host}/map_files/*"):
        if os.readlink(path).endswith("/leaf"):
            print(os.read(os.open(path, os.O_RDONLY), 100))


@attack("held", "set-user-id programs", by="privileges", holds="set-user-id programs")
def privileges_by_a_program() -> None:
    # PR_GET_NO_NEW_PRIVS: a set-user-id program would give rights.
    print(libc("prctl", 39, 0, 0, 0, 0))


@attack("held", "capabilities", by="privileges", holds="capabilities", succeeds_when_off="root")
def capabilities() -> None:
    print(next(line for line in open("/proc/self/status") if line.startswith("CapEff")))
