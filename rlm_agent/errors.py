"""Every error this package raises, one tree, named by the boundary that was crossed.

    RLMError
    ├── ConfigError            what the caller gave cannot work: an option, a path, a model name, an input
    ├── KernelError            the REPL worker could not be started or spoken to
    │   └── SandboxUnavailable no isolation on this system and no leave to go without
    ├── HomeError              the durable home could not be opened, read or written
    │   ├── SnapshotCorrupt    a part of a snapshot is missing, damaged or forged
    │   ├── StateVersionError  a record was written by a newer version
    │   └── LeaseHeld          another owner runs this thread now
    │       └── LeaseLost      this process owned the run and no longer does
    ├── BudgetExceeded         a call did not fit what is left
    ├── ModelError             a model provider refused or could not be reached
    └── ToolError              a sub-agent's tool could not be loaded

What the root model can mend (a failing cell, a failed sub-call) is a value it reads, never one of these.
"""

__all__ = [
    "BudgetExceeded",
    "ConfigError",
    "HomeError",
    "KernelError",
    "LeaseHeld",
    "LeaseLost",
    "ModelError",
    "RLMError",
    "SandboxUnavailable",
    "SnapshotCorrupt",
    "StateVersionError",
    "ToolError",
]


class RLMError(Exception):
    """The root of the tree: catch this to catch all that is ours."""


class ConfigError(RLMError):
    """What the caller gave cannot work; the message says what to do. Nothing was paid."""


class KernelError(RLMError):
    """The REPL worker could not be started or broke the protocol."""


class SandboxUnavailable(KernelError):
    """No isolation is to be had here, and nobody said that it may be done without."""


class HomeError(RLMError):
    """The durable home could not be opened, read or written."""


class SnapshotCorrupt(HomeError):
    """A blob is missing, does not hash to its key, is not signed for its turn or does not load, or the database is cut;
    named."""


class StateVersionError(HomeError):
    """A record was written by a newer version of this package than the one reading it."""


class LeaseHeld(HomeError):
    """Another process, or another call in this one, owns the run; the message names it."""


class LeaseLost(LeaseHeld):
    """A write was refused: this owner's lease ran out and somebody else holds the run."""


class BudgetExceeded(RLMError):
    """A call did not fit what is left of the budget; the message gives the numbers."""


class ModelError(RLMError):
    """A model provider refused the call or could not be reached; the run can be resumed."""


class ToolError(RLMError):
    """A sub-agent's tool could not be loaded or is misconfigured."""
