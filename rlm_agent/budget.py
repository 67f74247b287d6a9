"""What a question has spent and may still spend. Bookkeeping and decisions only: no input, no output.

Invariant: an `Account` holds exactly what the ledger holds for the question; it is filled from there at entry and
grows with each recorded step. What is set aside for calls on their way is beside that, and ends with the process.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

from rlm_agent.errors import BudgetExceeded, ConfigError
from rlm_agent.settings import Budget

__all__ = ["Account", "Estimate", "ModelUse", "Unaffordable", "check_amounts", "raised", "usage_report"]

_FRACTIONS = ("usd", "seconds")
_SHARED = ("tokens", "usd", "seconds")
_OWN = {"root": ("turns", "root_tokens"), "sub": ("sub_tokens", "sub_calls"), "child": ("sub_tokens",)}
LOW = 0.8
USUAL_OUTPUT = 500
"""Output tokens that a reply is taken to have before any is known; as strong as `_PRIOR` replies of that length."""
_PRIOR = 4


class Raise(Protocol):
    """What raises a bound: its name, and by how much."""

    @property
    def bound(self) -> str: ...
    @property
    def amount(self) -> float: ...


def raised(budget: Budget, raises: Iterable[Raise]) -> Budget:
    """The budget with bounds raised; what has no bound stays without one."""
    amounts: dict[str, float] = {}
    for extension in raises:
        amounts[extension.bound] = amounts.get(extension.bound, 0) + extension.amount
    bounds = {name: getattr(budget, name) for name in amounts}
    changed = {name: bound + _amount(name, amounts[name]) for name, bound in bounds.items() if bound is not None}
    return replace(budget, **changed) if changed else budget


def check_amounts(amounts: Mapping[str, Any]) -> None:
    """Raises ConfigError unless each amount raises a bound that there is."""
    names = [f.name for f in fields(Budget)]
    if not amounts:
        raise ConfigError(
            f"Nothing to extend: give a bound and by how much, usd=+10; the bounds are {', '.join(names)}."
        )
    for name, amount in amounts.items():
        if name not in names:
            raise ConfigError(f"No bound is named {name!r}; the bounds are {', '.join(names)}.")
        kinds = (int, float) if name in _FRACTIONS else (int,)
        if isinstance(amount, bool) or not isinstance(amount, kinds) or not 0 < amount < 10**15:
            what = "a number" if name in _FRACTIONS else "a whole number"
            raise ConfigError(f"{name}={amount!r}: give {what} above 0, by which the bound is raised.")


def _amount(name: str, amount: float) -> float:
    return amount if name in _FRACTIONS else int(amount)


class UsageLike(Protocol):
    """What the account needs of a ledger row or a step."""

    @property
    def role(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def calls(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def usd(self) -> float | None: ...


@dataclass(slots=True)
class ModelUse:
    """Tokens and cost of one model in one role; `usd` is None once a call of unknown price is in it."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = 0.0

    def add(self, row: UsageLike) -> None:
        """Counts one call or one folded row."""
        self.calls += row.calls
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        self.cached_tokens += row.cached_tokens
        self.usd = None if self.usd is None or row.usd is None else self.usd + row.usd

    @property
    def tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    def plain(self) -> dict[str, Any]:
        """`Usage` of the contract, section 9."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "usd": None if self.usd is None else round(self.usd, 8),
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens and dollars of one call or of several, before they are made; `usd` is None where a price is unknown."""

    tokens: int
    usd: float | None

    def __add__(self, other: "Estimate") -> "Estimate":
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Estimate(self.tokens + other.tokens, usd)


class Unaffordable(BudgetExceeded):
    """A model call that does not fit the budget. Never leaves the graph: a slot or `stopped_by` says it.

    Attributes:
        bound: the name of the bound that it does not fit.
    """

    def __init__(self, bound: str, message: str) -> None:
        super().__init__(message)
        self.bound = bound


@dataclass(slots=True)
class Account:
    """The account of one question.

    Attributes:
        reserved: tokens set aside for calls on their way, by role.
        reserved_usd: dollars set aside for them.
        denied: the bound that the root's last call did not fit, or None.
    """

    budget: Budget
    uses: dict[tuple[str, str], ModelUse] = field(default_factory=dict)
    known_usd: float = 0.0
    sub_calls: int = 0
    seconds_before: float = 0.0
    started: float = field(default_factory=time.monotonic)
    reserved: dict[str, int] = field(default_factory=dict)
    reserved_usd: float = 0.0
    denied: str | None = None
    _said: set[tuple[str, float]] = field(default_factory=set)

    def add(self, row: UsageLike) -> None:
        """Counts a recorded step or a folded ledger row that has model calls in it."""
        if row.calls:
            self.uses.setdefault((row.role, row.model), ModelUse()).add(row)
            self.known_usd += row.usd or 0.0

    @property
    def seconds(self) -> float:
        """Active seconds of the question, earlier entries included."""
        return self.seconds_before + time.monotonic() - self.started

    def tokens(self, role: str | None = None) -> int:
        """Tokens so far, of one role or of all."""
        return sum(use.tokens for (r, _), use in self.uses.items() if role in (None, r))

    def spent(self, turns: int) -> dict[str, float]:
        """What is spent, by the names of the bounds."""
        return {
            "tokens": self.tokens(),
            "root_tokens": self.tokens("root"),
            "sub_tokens": self.tokens("sub"),
            "usd": self.known_usd,
            "seconds": self.seconds,
            "turns": turns,
            "sub_calls": self.sub_calls,
        }

    def exhausted(self, role: str, turns: int) -> str | None:
        """The bound that forbids one more call of `role` ("root", "sub", or "child": a child's root), or None.

        For the root, "turns" comes first, so that a run that used its turns says so; those of a child are its own.
        """
        return self._used_up((*_OWN[role], *_SHARED), turns)

    def _used_up(self, names: Iterable[str], turns: int) -> str | None:
        spent = self.spent(turns)
        bounds = {name: getattr(self.budget, name) for name in names}
        return next((name for name, bound in bounds.items() if bound is not None and spent[name] >= bound), None)

    def reserve(self, role: str, estimate: Estimate) -> bool:
        """Sets aside what a call will take; False while that waits for calls on their way to give back theirs.

        Raises:
            Unaffordable: it would not fit even if they took nothing.
        """
        if (bound := self._used_up((f"{role}_tokens", *_SHARED), 0)) is not None:
            raise self._denied(role, bound, f"the budget's {bound} is used up ({self._figure(bound)})")
        if (bound := self._misfit(role, estimate)) is not None:
            raise self._denied(role, bound, self._numbers(bound, "the call", estimate))
        if self._misfit(role, estimate, aside=True) is not None:
            return False
        self.reserved[role] = self.reserved.get(role, 0) + estimate.tokens
        self.reserved_usd += estimate.usd or 0.0
        return True

    def check_seconds(self) -> None:
        """Raises Unaffordable once the time is used up, for those who wait."""
        if (bound := self._used_up(("seconds",), 0)) is not None:
            raise Unaffordable(bound, f"not sent: the budget's seconds are used up ({self._figure(bound)})")

    def release(self, role: str, estimate: Estimate) -> None:
        """Gives back what was set aside: the call is recorded, or failed."""
        self.reserved[role] -= estimate.tokens
        self.reserved_usd = max(0.0, self.reserved_usd - (estimate.usd or 0.0)) if any(self.reserved.values()) else 0.0

    def mean_output(self, role: str, model: str) -> int:
        """Output tokens of a usual reply of this model in this role, by those that are recorded."""
        use = self.uses.get((role, model), ModelUse())
        return round((USUAL_OUTPUT * _PRIOR + use.output_tokens) / (_PRIOR + use.calls))

    def newly_low(self, turns: int) -> list[tuple[str, float, float]]:
        """The bounds of which at least `LOW` is spent and that were not named before: (name, spent, bound)."""
        bounds = [(name, spent, getattr(self.budget, name)) for name, spent in self.spent(turns).items()]
        low = [row for row in bounds if row[2] and row[1] >= LOW * row[2] and (row[0], row[2]) not in self._said]
        self._said.update((name, bound) for name, _, bound in low)
        return low

    def _misfit(self, role: str, estimate: Estimate, *, aside: bool = False) -> str | None:
        """The bound that an estimate exceeds together with what is spent, and with what is set aside if so told."""
        spent, own = self.spent(0), f"{role}_tokens"
        needs = {own: estimate.tokens, "tokens": estimate.tokens, "usd": estimate.usd or 0.0}
        if aside:
            needs[own] += self.reserved.get(role, 0)
            needs["tokens"] += sum(self.reserved.values())
            needs["usd"] += self.reserved_usd
        bounds = {name: getattr(self.budget, name) for name in needs}
        return next((n for n, most in bounds.items() if most is not None and spent[n] + needs[n] > most), None)

    def _denied(self, role: str, bound: str, why: str) -> Unaffordable:
        if role == "root":
            self.denied = bound
        return Unaffordable(bound, f"not sent: {why}")

    def _numbers(self, bound: str, what: str, estimate: Estimate) -> str:
        need = f"{estimate.usd or 0:.4f} USD" if bound == "usd" else f"{estimate.tokens} tokens"
        most = getattr(self.budget, bound)
        return f"{what} needs about {need}, {_number(max(0, most - self.spent(0)[bound]))} of {_number(most)} are left"

    def refusal(self, calls: int, estimate: Estimate | None = None) -> str | None:
        """Why a batch of this many new sub-calls does not fit, with the numbers; None when it does.

        Args:
            estimate: what it should take.
        """
        bound = self.budget.sub_calls
        if bound is not None and self.sub_calls + calls > bound:
            left = max(0, bound - self.sub_calls)
            return (
                f"this batch needs {calls} sub-calls, {left} of {bound} are left; nothing was sent. "
                f"Send at most {left}, or put several items in one prompt."
            )
        if (name := self.exhausted("sub", 0)) is not None:
            return f"nothing was sent: the budget's {name} is used up ({self._figure(name)}). Set the answer now."
        if estimate is not None and (name := self._misfit("sub", estimate)) is not None:
            return f"nothing was sent: {self._numbers(name, 'this batch', estimate)} of {name}. Ask for less."
        return None

    def left_line(self, turns: int, budget: Budget | None = None) -> str:
        """What is left, for the root: one line, bounds only; `budget` in place of the account's, for a child."""
        parts = []
        for name, used in self.spent(turns).items():
            bound = getattr(budget or self.budget, name)
            if bound is not None:
                parts.append(f"{name} {_number(max(0, bound - used))} of {_number(bound)}")
        return ", ".join(parts) or "no bounds"

    def _figure(self, name: str) -> str:
        return f"{_number(self.spent(0)[name])} of {_number(getattr(self.budget, name))}"

    def report(self) -> dict[str, Any]:
        """`out["rlm"]["usage"]` of the contract: {root, sub, total, by_model, seconds}."""
        return usage_report(self.uses.items(), self.seconds)


def usage_report(uses: Iterable[tuple[tuple[str, str], ModelUse]], seconds: float) -> dict[str, Any]:
    """Folds (role, model) -> use into the report of the contract, section 9."""
    root, sub, total = ModelUse(), ModelUse(), ModelUse()
    by_model: dict[str, ModelUse] = {}
    for (role, model), use in uses:
        for target in (root if role == "root" else sub, total, by_model.setdefault(model, ModelUse())):
            _merge(target, use)
    plain_models = {name: use.plain() for name, use in sorted(by_model.items())}
    return {
        "root": root.plain(),
        "sub": sub.plain(),
        "total": total.plain(),
        "by_model": plain_models,
        "seconds": round(seconds, 3),
    }


def _merge(target: ModelUse, use: ModelUse) -> None:
    target.calls += use.calls
    target.input_tokens += use.input_tokens
    target.output_tokens += use.output_tokens
    target.cached_tokens += use.cached_tokens
    target.usd = None if target.usd is None or use.usd is None else target.usd + use.usd


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if value != int(value) else str(int(value))
