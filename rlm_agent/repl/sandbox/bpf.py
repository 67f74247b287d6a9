"""BPF: a seccomp filter as a list of rules, and the program that the kernel runs for them. Pure.

A rule speaks of one system call; a call of which no rule speaks is allowed, and one that is newer than all that were
judged does not exist. Arguments are compared by their low 32 bits: all that are judged are ints, flags or numbers.
"""

import errno
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["ALLOW", "AUDIT_ARCH", "KILL", "Check", "Rule", "program", "refusal"]

ALLOW, KILL = 0x7FFF0000, 0x80000000
RET_ERRNO = 0x00050000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# The other numbering that an x86_64 kernel knows.
X32_BIT = 0x40000000

LOAD, AND, RETURN = 0x20, 0x54, 0x06
JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_AT_LEAST, JUMP_SET = 0x05, 0x15, 0x25, 0x35, 0x45
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Check:
    """A test of one argument of a call.

    Attributes:
        index: of the argument.
        values: true where the argument, masked, is one of these; without any, where a bit of the mask is set.
        mask: what is looked at.
        negated: true where the argument is none of `values`.
    """

    index: int
    values: tuple[int, ...] = ()
    mask: int = 0xFFFFFFFF
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of one system call.

    Attributes:
        call: its name.
        error: what a refused one sets errno to.
        refused_if: it is refused where all checks of one of these groups are true. Without any it is refused always,
            save where `allowed_if` says otherwise.
        allowed_if: where all of these are true the call is allowed.
    """

    call: str
    error: int = errno.EPERM
    refused_if: tuple[tuple[Check, ...], ...] = ()
    allowed_if: tuple[Check, ...] = ()


def refusal(error: int) -> int:
    """What a filter returns so that the call fails with this errno."""
    return RET_ERRNO | error


def program(rules: Iterable[Rule], numbers: Mapping[str, int], machine: str, newest: int) -> bytes:
    """The filter; rules for calls that the architecture does not have are left out.

    Raises:
        KeyError: the architecture is not known.
    """
    code: list[Instruction] = [
        (LOAD, 0, 0, ARCH_AT),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [(JUMP_AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, refusal(errno.ENOSYS))]
    code += [(JUMP_GREATER, 0, 1, newest), (RETURN, 0, 0, refusal(errno.ENOSYS))]
    for rule in rules:
        if rule.call in numbers:
            code += _judged(rule, numbers[rule.call])
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _judged(rule: Rule, number: int) -> list[Instruction]:
    """Skipped whole for other calls; ends in a verdict for this one."""
    refuse: Instruction = (RETURN, 0, 0, refusal(rule.error))
    allow: Instruction = (RETURN, 0, 0, ALLOW)
    if rule.refused_if:
        block = [instruction for group in rule.refused_if for instruction in _group(group, refuse)] + [allow]
    elif rule.allowed_if:
        block = [*_group(rule.allowed_if, allow), refuse]
    else:
        block = [refuse]
    return [(JUMP_EQUAL, 0, len(block), number), *block]


def _group(checks: tuple[Check, ...], verdict: Instruction) -> list[Instruction]:
    """The verdict where all checks are true; what follows the group where one is not."""
    block = [verdict]
    for check in reversed(checks):
        block = [*_test(check), (JUMP, 0, 0, len(block)), *block]
    return block


def _test(check: Check) -> list[Instruction]:
    """Skips the one instruction that follows where the check is true."""
    load: Instruction = (LOAD, 0, 0, ARGUMENTS_AT + 8 * check.index)
    if not check.values:
        return [load, (JUMP_SET, 1, 0, check.mask)]
    count = len(check.values)
    # Both lengths lead past the last comparison: there one more jump turns the meaning around.
    jumps: list[Instruction] = [(JUMP_EQUAL, count - at, 0, value) for at, value in enumerate(check.values)]
    turn: list[Instruction] = [(JUMP, 0, 0, 1)] if check.negated else []
    return [load, (AND, 0, 0, check.mask), *jumps, *turn]
