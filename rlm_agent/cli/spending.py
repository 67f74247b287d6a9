"""What the question that is being worked on has spent, against its bounds: one line, as the ledger has it.

Invariant: it only reads, from whatever thread asks, where an event tells of something new, and for a tenth of the time
at most: a ledger of many rows is read less often.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rlm_agent.cli.terminal import counted
from rlm_agent.errors import RLMError
from rlm_agent.settings import Budget

if TYPE_CHECKING:
    from rlm_agent.budget import Account
    from rlm_agent.store.home import Home

__all__ = ["Spending", "spending_line"]


class Spending:
    """The line of one question; empty until it is known which one that is."""

    def __init__(self, home: "Home", budget: Budget) -> None:
        self._home, self._budget = home, budget
        self._question: tuple[str, int] | None = None
        self._line, self._next = "", 0.0
        self._stale = False

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Learns which question it is, and that something may have been spent."""
        if event["type"] == "run.started" and not event["depth"]:
            self._question = (event["run"], event["question"])
        self._stale = True

    @property
    def line(self) -> str:
        """The line, read anew where it may have changed."""
        started = time.monotonic()
        if self._question is not None and self._stale and started >= self._next:
            self._stale = False
            with suppress(RLMError):  # a busy home: what was read before stays; the run itself reports what fails
                self._line = spending_line(self._account(*self._question))
            self._next = started + 11 * (time.monotonic() - started)
        return self._line

    def _account(self, run: str, question: int) -> "Account":
        from rlm_agent.budget import Account

        account = Account(self._budget)
        for row in self._home.ledger.usage(run, question):
            account.add(row)
        account.sub_calls = self._home.ledger.count(run, "slot", question)
        return account


def spending_line(account: "Account") -> str:
    """Tokens and cost, and sub-calls once there are some, each with its bound where there is one."""
    bounds = account.budget
    priced = all(use.usd is not None for use in account.uses.values())
    parts = [
        f"{account.tokens():,}{_of(bounds.tokens)} tokens",
        f"{account.known_usd:.4f}{_of(bounds.usd)} USD" if priced else "cost unknown",
    ]
    if account.sub_calls:
        bound = "" if bounds.sub_calls is None else f" of {bounds.sub_calls:,}"
        parts.append(f"{account.sub_calls:,}{bound} sub-calls" if bound else counted(account.sub_calls, "sub-call"))
    return ", ".join(parts)


def _of(bound: float | None) -> str:
    return "" if bound is None else f" of {bound:,g}" if isinstance(bound, float) else f" of {bound:,}"
