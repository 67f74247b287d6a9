"""Budget and Limits: what a run may spend, and the sizes and times within which it works (contract, section 9).

Both are frozen values, checked when made. Who enforces them: `budget.py` (Budget), the nodes and the kernel (Limits).
"""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from rlm_agent.errors import ConfigError

__all__ = ["Budget", "Limits", "SandboxMode"]

SandboxMode = Literal["auto", "required", "off"]


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of one question, for the root and all sub-agents together. None is no bound.

    Args:
        tokens: input and output tokens of all calls.
        root_tokens: the same, of the root model only.
        sub_tokens: the same, of sub-agents only.
        usd: US dollars; a model of unknown price counts as nothing here, and the run says so.
        seconds: active wall clock time; waiting for a human is not counted.
        turns: root turns.
        sub_calls: calls made by `llm_batch` and its relatives.

    Raises:
        ConfigError: a bound is negative or no number.
    """

    tokens: int | None = None
    root_tokens: int | None = None
    sub_tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    turns: int | None = 50
    sub_calls: int | None = 2000

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise ConfigError(f"Budget({f.name}={value!r}): give a number of 0 or more, or None for no bound.")


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times of one run.

    Args:
        output_chars: characters of a turn's output that the root reads.
        cell_seconds: a cell's own running time; waiting for sub-agents is not counted.
        memory_mb: memory that one REPL session takes beside Python's own, its processes together (with the sandbox).
        disk_mb: scratch files of one REPL session (with the sandbox).
        concurrency: model calls of the run in flight at once.
        sub_turns: model turns of one sub-agent.
        sub_seconds: working time of one sub-agent; waiting its turn, or for a rate limit, is not counted.
        window_tokens: approximate tokens of the root's largest prompt.
        malformed: replies without code, in a row, that end the run.
        sandbox: "auto" (every layer that the system has, an error where it has none), "required" (an error unless
            files, network and signals are closed to cells) or "off".
        sub_tries: how often one model call is tried where a rate limit, an overload or a broken connection stops it;
            1 leaves all of that to the provider's client.

    Raises:
        ConfigError: a value is out of range.
    """

    output_chars: int = 8192
    cell_seconds: float = 120
    memory_mb: int = 4096
    disk_mb: int = 2048
    concurrency: int = 32
    sub_turns: int = 8
    sub_seconds: float = 300
    window_tokens: int = 32000
    malformed: int = 3
    sandbox: SandboxMode = "auto"
    sub_tries: int = 6

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "sandbox":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise ConfigError(f"Limits({f.name}={value!r}): give a number above 0.")
        if self.window_tokens < 2000:
            raise ConfigError(f"Limits(window_tokens={self.window_tokens}): the root needs at least 2000 tokens.")
        if self.sandbox not in get_args(SandboxMode):
            raise ConfigError(f"Limits(sandbox={self.sandbox!r}): choose 'auto', 'required' or 'off'.")
