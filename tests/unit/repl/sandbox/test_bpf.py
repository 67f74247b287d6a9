"""The filter's program, run by a small machine of the test's own: what the kernel would answer for a call."""

import errno
import struct

import pytest

from rlm_agent.repl.sandbox.bpf import ALLOW, AUDIT_ARCH, KILL, Check, Rule, program, refusal
from rlm_agent.repl.sandbox.policy import policy
from rlm_agent.repl.sandbox.syscalls import NEWEST, NUMBERS

REFUSED, MISSING, NO_ATTRIBUTES = (refusal(number) for number in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP))
MACHINES = tuple(NUMBERS)


def answer(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """Runs a program on one call, as the kernel does."""
    padded = (*arguments, *[0] * 6)[:6]
    data = struct.pack("<IIQ6Q", number, arch, 0, *[word % 2**64 for word in padded])
    at = accumulator = 0
    while True:
        op, jump_true, jump_false, k = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        if op == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif op == 0x54:
            accumulator &= k
        elif op == 0x05:
            at += k
        elif op == 0x06:
            return int(k)
        else:
            true = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k, 0x45: accumulator & k}[op]
            at += jump_true if true else jump_false


def judge(machine: str, call: str, *arguments: int, signals: bool = False, metadata: bool = False) -> int:
    code = program(policy(77, signals=signals, metadata=metadata), NUMBERS[machine], machine, NEWEST)
    return answer(code, AUDIT_ARCH[machine], NUMBERS[machine][call], *arguments)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "verdict"),
    [
        ("socket", (1, 1), REFUSED),
        ("socketpair", (1, 1 | 0o2000000), ALLOW),
        ("socketpair", (1, 2), REFUSED),
        ("socketpair", (1, 5), REFUSED),
        ("socketpair", (2, 1), REFUSED),
        ("clone", (0x3D0F00,), ALLOW),
        ("clone", (17,), ALLOW),
        ("clone", (0x10000000,), REFUSED),
        ("clone", (0x00020000 | 17,), REFUSED),
        ("clone3", (), MISSING),
        ("io_uring_setup", (), MISSING),
        ("ptrace", (), REFUSED),
        ("migrate_pages", (), REFUSED),
        ("move_pages", (), REFUSED),
        ("getxattr", (), NO_ATTRIBUTES),
        ("fgetxattr", (3,), NO_ATTRIBUTES),
        ("listxattrat", (), NO_ATTRIBUTES),
        ("inotify_add_watch", (), REFUSED),
        ("msgrcv", (0,), REFUSED),
        ("unshare", (0,), REFUSED),
        ("open_by_handle_at", (), REFUSED),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (1, 7), REFUSED),
        ("setpriority", (0, 0, 5), ALLOW),
        ("setpriority", (0, 5, 5), REFUSED),
        ("setpriority", (1, 0, 5), REFUSED),
        ("fcntl", (3, 2, 1), ALLOW),
        ("fcntl", (3, 8, 1), REFUSED),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), REFUSED),
        ("ioctl", (0, 0x40086602), ALLOW),
        ("prctl", (1, 9), ALLOW),
        ("prctl", (1, 0), REFUSED),
        ("prctl", (1, 15), REFUSED),
        ("prctl", (15, 1), ALLOW),
        ("prctl", (4, 1), REFUSED),
        ("prctl", (36, 0), REFUSED),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0x0040000,), REFUSED),
        ("setsid", (), REFUSED),
        ("memfd_create", (), REFUSED),
        ("fchmod", (3, 0o777), ALLOW),
        ("kill", (5, 9), ALLOW),
    ],
)
def test_what_is_refused(machine: str, call: str, arguments: tuple[int, ...], verdict: int) -> None:
    assert judge(machine, call, *arguments) == verdict


@pytest.mark.parametrize("machine", MACHINES)
def test_rules_that_stand_in_for_another_layer(machine: str) -> None:
    for call in ("fchmod", "fchownat", "utimensat", "fsetxattr", "removexattr", "truncate", "file_setattr"):
        assert judge(machine, call, metadata=True) == REFUSED
    assert judge(machine, "ioctl", 3, 0x40086602, metadata=True) == REFUSED
    for call in ("kill", "tgkill", "rt_sigqueueinfo"):
        assert judge(machine, call, 77, 9, signals=True) == ALLOW
        assert judge(machine, call, 78, 9, signals=True) == REFUSED
        assert judge(machine, call, -77, 9, signals=True) == REFUSED
    assert judge(machine, "kill", 0, 9, signals=True) == ALLOW
    assert judge(machine, "tkill", 77, 9, signals=True) == REFUSED


@pytest.mark.parametrize("machine", MACHINES)
def test_another_numbering_is_no_way_around(machine: str) -> None:
    code = program(policy(77, signals=False, metadata=False), NUMBERS[machine], machine, NEWEST)
    assert answer(code, 0x40000003, 359) == KILL
    assert answer(code, AUDIT_ARCH[machine], NEWEST + 1) == MISSING
    assert answer(code, AUDIT_ARCH[machine], 0x40000000 + 41) == MISSING
    assert answer(code, AUDIT_ARCH[machine], 0) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_the_kernel_takes_programs_of_this_length(machine: str) -> None:
    code = program(policy(77, signals=True, metadata=True), NUMBERS[machine], machine, NEWEST)
    assert len(code) // 8 < 4096


def test_each_call_has_one_rule_and_a_number() -> None:
    calls = [rule.call for rule in policy(1, signals=True, metadata=True)]
    assert len(calls) == len(set(calls))
    known = set().union(*NUMBERS.values())
    assert set(calls) <= known
    # What this architecture has under another name only is not forgotten: the newer call is there.
    assert {"fchmodat", "fchownat", "utimensat", "mknodat", "accept4"} <= set(NUMBERS["aarch64"])


def test_several_values_and_checks() -> None:
    rules = [
        Rule("a", allowed_if=(Check(0, (1, 2, 3)), Check(1, (4,), mask=0xF))),
        Rule("b", refused_if=((Check(0, (1,)), Check(1, (2, 3), negated=True)), (Check(5, mask=8),))),
    ]
    code = program(rules, {"a": 1, "b": 2}, "aarch64", 10)

    def verdict(*call: int) -> bool:
        return answer(code, AUDIT_ARCH["aarch64"], *call) == ALLOW

    assert [verdict(1, first, 0x14) for first in (0, 1, 2, 3, 4)] == [False, True, True, True, False]
    assert not verdict(1, 1, 0x15)
    assert [verdict(2, 1, second) for second in (1, 2, 3, 4)] == [False, True, True, False]
    assert verdict(2, 0, 9)
    assert not verdict(2, 0, 9, 0, 0, 0, 8)
    assert verdict(3)
