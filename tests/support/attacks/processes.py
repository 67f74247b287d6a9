"""Attacks on other processes: signals, memory, limits; and processes that outlive their session."""

import ctypes
import os
import resource
import signal
import struct
import time

from attack import attack
from attacks.prelude import LIBC, libc, regions, scene, syscall

# Signals


@attack("harm", "kill a stranger", by="landlock seccomp")
def kill_a_bystander() -> None:
    os.kill(scene.bystander, signal.SIGKILL)


@attack("harm", "kill a stranger", by="landlock seccomp")
def kill_the_host() -> None:
    os.kill(scene.host, signal.SIGKILL)


@attack("harm", "kill a relative", by="landlock seccomp")
def kill_the_zygote() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(scene.zygote, signal.SIGKILL)


@attack("harm", "kill a relative", by="landlock seccomp")
def kill_another_session() -> None:
    os.kill(scene.sibling, signal.SIGKILL)


@attack("harm", "kill(-1)", by="landlock seccomp")
def kill_everybody() -> None:
    os.kill(-1, signal.SIGKILL)


@attack("harm", "kill a group", by="landlock seccomp")
def kill_a_group() -> None:
    os.killpg(os.getpgid(scene.sibling), signal.SIGKILL)


@attack("harm", "kill a relative", by="landlock seccomp")
def stop_another_session() -> None:
    os.kill(scene.sibling, signal.SIGSTOP)


@attack("harm", "tgkill", by="landlock seccomp")
def signal_a_thread() -> None:
    syscall("tgkill", scene.bystander, scene.bystander, 9)


@attack("harm", "rt_sigqueueinfo", by="landlock seccomp")
def queue_a_signal() -> None:
    info = struct.pack("iii", 9, 0, -1).ljust(128, b"\0")
    syscall("rt_sigqueueinfo", scene.bystander, 9, info)


@attack("harm", "pidfd_send_signal", by="landlock seccomp")
def signal_by_a_process_descriptor() -> None:
    fd = syscall("pidfd_open", scene.bystander, 0)
    syscall("pidfd_send_signal", fd, 9, None, 0)


@attack("harm", "pidfd_send_signal", by="landlock seccomp")
def signal_by_a_descriptor_of_proc() -> None:
    fd = os.open(f"/proc/{scene.bystander}", os.O_RDONLY | os.O_DIRECTORY)
    syscall("pidfd_send_signal", fd, 9, None, 0)


@attack("harm", "F_SETOWN", by="landlock seccomp")
def signal_as_the_owner_of_a_pipe() -> None:
    import fcntl

    reader, writer = os.pipe()
    fcntl.fcntl(reader, 10, 9)
    fcntl.fcntl(reader, fcntl.F_SETOWN, scene.bystander)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writer, b"x")


# Memory and descriptors


@attack("harm", "ptrace", by="namespaces landlock seccomp")
def trace_another_session() -> None:
    # SEIZE: nobody stops, whoever succeeds.
    syscall("ptrace", 0x4206, scene.sibling, 0, 0)


@attack("held", "ptrace", by="seccomp", holds="a tracer")
def trace_a_child_of_its_own() -> None:
    child = os.fork()
    if child == 0:
        time.sleep(10)
        os._exit(0)
    try:
        syscall("ptrace", 0x4206, child, 0, 0)
        time.sleep(0.5)
    finally:
        os.kill(child, signal.SIGKILL)


@attack("read", "process_vm_readv", by="namespaces landlock seccomp")
def read_another_sessions_memory() -> None:
    data = ctypes.create_string_buffer(4096)
    local = struct.pack("QQ", ctypes.addressof(data), 4096)
    syscall("process_vm_readv", scene.sibling, local, 1, struct.pack("QQ", scene.sibling_at, 4096), 1, 0)
    print(data.raw)


@attack("harm", "process_vm_writev", by="namespaces landlock seccomp")
def write_another_sessions_memory() -> None:
    data = ctypes.create_string_buffer(b"changed")
    local = struct.pack("QQ", ctypes.addressof(data), 7)
    syscall("process_vm_writev", scene.sibling, local, 1, struct.pack("QQ", scene.sibling_at, 7), 1, 0)


@attack("read", "/proc/PID/mem", by="namespaces landlock seccomp")
def read_another_sessions_memory_by_proc() -> None:
    with open(f"/proc/{scene.sibling}/mem", "rb", buffering=0) as memory:
        memory.seek(scene.sibling_at)
        print(memory.read(4096))


@attack("harm", "/proc/PID/mem", by="namespaces landlock seccomp")
def write_another_sessions_memory_by_proc() -> None:
    with open(f"/proc/{scene.sibling}/mem", "r+b", buffering=0) as memory:
        memory.seek(scene.sibling_at)
        memory.write(b"changed")


@attack("read", "/proc/PID/mem", by="namespaces landlock")
def search_the_hosts_memory() -> None:
    with open(f"/proc/{scene.host}/mem", "rb", buffering=0) as memory:
        for start, end in regions(scene.host):
            try:
                memory.seek(start)
                data = memory.read(min(end - start, 1 << 26))
            except OSError:
                continue
            at = data.find(b"OPENAI_API_KEY")
            if at >= 0:
                print(data[at : at + 100])
        # What environ was given as lies at the top of the stack.
        print(open(f"/proc/{scene.host}/environ").read())


@attack("read", "pidfd_getfd", by="namespaces landlock seccomp")
def take_a_descriptor_of_the_host() -> None:
    # The host holds a blob open.
    process = syscall("pidfd_open", scene.host, 0)
    for number in range(3, 40):
        try:
            print(os.pread(syscall("pidfd_getfd", process, number, 0), 100, 0))
        except OSError as error:
            print(error)


@attack("read", "/proc/PID/fd", by="namespaces landlock")
def open_a_descriptor_of_the_host() -> None:
    for name in os.listdir(f"/proc/{scene.host}/fd"):
        path = f"/proc/{scene.host}/fd/{name}"
        if os.readlink(path).endswith("/leaf"):
            print(open(path).read())


@attack("read", "kcmp", by="namespaces landlock seccomp")
def compare_descriptors_of_another() -> None:
    # Which of them are one and the same is what nothing else would tell.
    pid, first = scene.bystander, scene.first_bit
    same = [syscall("kcmp", pid, pid, 0, first - 1, first + bit) == 0 for bit in range(64)]
    print(f"{sum(1 << bit for bit in range(64) if same[bit]):016x}")


# Settings of others


@attack("harm", "prlimit", by="seccomp")
def limits_of_another() -> None:
    resource.prlimit(scene.bystander, resource.RLIMIT_NOFILE, (7, 7))


@attack("harm", "sched_setaffinity", by="seccomp")
def processors_of_another() -> None:
    os.sched_setaffinity(scene.bystander, {0})


@attack("harm", "setpriority", by="seccomp")
def priority_of_another() -> None:
    os.setpriority(os.PRIO_PROCESS, scene.bystander, 19)


@attack("harm", "setpriority", by="seccomp")
def priority_of_all_of_the_user() -> None:
    os.setpriority(os.PRIO_USER, scene.uid, 15)


@attack("harm", "sched_setscheduler", by="seccomp")
def scheduler_of_another() -> None:
    os.sched_setscheduler(scene.bystander, os.SCHED_IDLE, os.sched_param(0))


@attack("harm", "sched_setscheduler", by="seccomp")
def scheduler_attributes_of_another() -> None:
    syscall("sched_setattr", scene.bystander, struct.pack("IIQiIQQQ", 48, 3, 0, 19, 0, 0, 0, 0), 0)


@attack("harm", "ioprio_set", by="seccomp")
def disk_priority_of_another() -> None:
    syscall("ioprio_set", 1, scene.bystander, (3 << 13))


@attack("harm", "oom_score_adj", by="mounts landlock")
def who_is_killed_when_memory_ends() -> None:
    with open(f"/proc/{scene.bystander}/oom_score_adj", "w") as file:
        file.write("1000")


@attack("harm", "process_madvise", by="namespaces privileges", holds="hot pages", succeeds_when_off="root")
def advice_on_memory_of_another() -> None:
    # MADV_COLD: its pages are the first to be taken.
    start, end = scene.bystander_stack
    process = syscall("pidfd_open", scene.bystander, 0)
    syscall("process_madvise", process, struct.pack("QQ", start, end - start), 1, 20, 0)


# Processes that stay


@attack("left", "daemon", by="seccomp")
def a_daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
    time.sleep(0.2)


@attack("left", "daemon", by="seccomp")
def a_daemon_with_no_name_of_the_session() -> None:
    import subprocess

    subprocess.Popen(["sleep", "60"], start_new_session=True, cwd="/", env={}, close_fds=True)


@attack("left", "CLONE_PARENT", by="seccomp")
def a_child_of_the_zygote() -> None:
    # CLONE_PARENT: not the worker's child but its sibling.
    child = syscall("clone", 0x8000 | 17, 0, 0, 0, 0)
    if child == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    time.sleep(0.2)


@attack("left", "clone3", by="seccomp")
def a_child_by_clone3() -> None:
    child = syscall("clone3", struct.pack("11Q", 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 64)
    if child == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    time.sleep(0.2)


@attack("left", "PR_SET_PDEATHSIG", by="seccomp", host_dies=True)
def a_worker_that_forgets_its_parents_death() -> None:
    # PR_SET_PDEATHSIG with 0; then without a reader of the channel, which would see the host's end.
    libc("prctl", 1, 0, 0, 0, 0)
    if os.fork() == 0:
        os.setsid()
        libc("prctl", 1, 0, 0, 0, 0)
        time.sleep(60)
        os._exit(0)


@attack("left", "descendants at the host's death", by="seccomp", host_dies=True)
def children_of_children_at_the_hosts_death() -> None:
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            for _ in range(3):
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
            time.sleep(60)
            os._exit(0)
    time.sleep(0.2)


@attack("left", "alarm", not_real="no worker leaves a timer behind: an alarm ends with its process")
def an_alarm() -> None:
    signal.alarm(30)
    LIBC.setitimer(0, struct.pack("4q", 0, 0, 30, 0), None)
