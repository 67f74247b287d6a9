"""Policy: which system calls a worker may not make, and why. Pure data; `bpf.py` makes a filter of it.

Some rules stand in for a layer that is not there: signals where Landlock is older than ABI 6, metadata where file
systems could not be made read-only. Those are wider than what they replace: a filter sees no paths and knows no family.
"""

import errno
from collections.abc import Iterator

from rlm_agent.repl.sandbox.bpf import Check, Rule

__all__ = ["policy"]

# Rights over the machine, over other processes and over the kernel's rarely used corners.
POWERS = """
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd pidfd_send_signal
    bpf perf_event_open userfaultfd keyctl add_key request_key seccomp
    init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff sethostname setdomainname
    iopl ioperm modify_ldt acct settimeofday clock_settime adjtimex clock_adjtime quotactl quotactl_fd syslog vhangup
    lookup_dcookie nfsservctl uselib ustat sysfs _sysctl migrate_pages move_pages
    name_to_handle_at open_by_handle_at fanotify_init fanotify_mark
    mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr
    unshare setns setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset
"""
# Memory that belongs to no process, so that no sum over a session's processes would hold it.
HIDDEN_MEMORY = "memfd_create memfd_secret shmget shmat msgget semget mq_open"
# A descriptor on its way keeps a file that nobody has open, so that no sum over files would hold it.
HIDDEN_FILES = "sendmsg sendmmsg"
# A small number names what others have made, where there is no IPC namespace.
FOREIGN_MEMORY = "shmctl semop semtimedop semctl msgsnd msgrcv msgctl mq_unlink"
# Names of files that others work on, in directories that Landlock does not open.
WATCHING = "inotify_init inotify_init1 inotify_add_watch"
# What a session starts stays in its process group: that is how all of it is found and killed at once.
LEAVING = "setsid setpgid"
NETWORK = "socket connect bind listen accept accept4"
# Answered as by a kernel that lacks them: the C library then does without, or they are not tried at all.
MISSING = "clone3 io_uring_setup io_uring_enter io_uring_register"
# No layer refuses to read attributes of a file that cannot be opened. Answered as by a file system without them.
ATTRIBUTES = "getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat"
METADATA = """
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
    setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat file_setattr
    truncate mknod mknodat
"""

NEW_NAMESPACES = 0x7E020080
SHARED_ANONYMOUS = 0x21
AF_UNIX, SOCK_STREAM, SOCK_TYPE = 1, 1, 0xF
F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15
TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR = 0x40086602, 0x401C5820
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_MM = 1, 4, 22, 35
PR_SET_CHILD_SUBREAPER, PR_SET_PTRACER = 36, 0x59616D61
QUERY_PERSONALITY = 0xFFFFFFFF
SIGKILL = 9
IOPRIO_WHO_PROCESS = 1


def policy(pid: int, *, signals: bool, metadata: bool) -> tuple[Rule, ...]:
    """The rules, one a call.

    Args:
        pid: of the process that the filter is for.
        signals: refuse signals to all but this process; Landlock does not.
        metadata: refuse all changes of metadata; the mounts do not.
    """
    return (
        *_always(POWERS, HIDDEN_MEMORY, HIDDEN_FILES, FOREIGN_MEMORY, WATCHING, LEAVING, NETWORK),
        *_always(MISSING, error=errno.ENOSYS),
        *_always(ATTRIBUTES, error=errno.EOPNOTSUPP),
        *_by_argument(metadata),
        *_own_process_only(),
        *(_always(METADATA) if metadata else ()),
        *(_own_signals_only(pid) if signals else ()),
    )


def _always(*groups: str, error: int = errno.EPERM) -> Iterator[Rule]:
    return (Rule(call, error) for group in groups for call in group.split())


def _by_argument(metadata: bool) -> Iterator[Rule]:
    flags = (FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR) if metadata else ()
    # Memory that stays as a whole while a page of it is mapped; a file in scratch counts as one.
    yield Rule("mmap", refused_if=((Check(3, (SHARED_ANONYMOUS,), SHARED_ANONYMOUS),),))
    yield Rule("clone", refused_if=((Check(0, mask=NEW_NAMESPACES),),))
    # A datagram socket could be sent anywhere in the file system; a stream has one other end for ever.
    yield Rule("socketpair", allowed_if=(Check(0, (AF_UNIX,)), Check(1, (SOCK_STREAM,), SOCK_TYPE)))
    # A descriptor's owner gets signals: a way around the rules for kill.
    yield Rule("fcntl", refused_if=((Check(1, (F_SETOWN, F_SETSIG, F_SETOWN_EX)),),))
    yield Rule("ioctl", refused_if=((Check(1, (TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP, *flags)),),))
    owned = (PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_MM, PR_SET_CHILD_SUBREAPER, PR_SET_PTRACER)
    not_to_die = (Check(0, (PR_SET_PDEATHSIG,)), Check(1, (SIGKILL,), negated=True))
    yield Rule("prctl", refused_if=((Check(0, owned),), not_to_die))
    yield Rule("personality", allowed_if=(Check(0, (QUERY_PERSONALITY,)),))


def _own_process_only() -> Iterator[Rule]:
    """Calls that take a process id, 0 being the caller: other processes of the same user are as open to them."""
    for call in ("prlimit64", "sched_setaffinity", "sched_setparam", "sched_setscheduler", "sched_setattr"):
        yield Rule(call, allowed_if=(Check(0, (0,)),))
    yield Rule("setpriority", allowed_if=(Check(0, (0,)), Check(1, (0,))))
    yield Rule("ioprio_set", allowed_if=(Check(0, (IOPRIO_WHO_PROCESS,)), Check(1, (0,))))


def _own_signals_only(pid: int) -> Iterator[Rule]:
    # 0 is the process group, which holds nothing but the session.
    yield Rule("kill", allowed_if=(Check(0, (0, pid)),))
    for call in ("tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
        yield Rule(call, allowed_if=(Check(0, (pid,)),))
    yield Rule("tkill")
