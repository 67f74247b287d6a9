"""What is alive while a child works: as its parent's, on whose lease, account and limits it works."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from rlm_agent.budget import Account
from rlm_agent.entries.activity import Activity
from rlm_agent.events import Events
from rlm_agent.spec import AgentSpec
from rlm_agent.store.leases import Fence
from rlm_agent.store.records import QuestionRecord, RunRecord, StepRecord, TurnRecord

__all__ = ["ChildActivity"]


class ChildActivity(Activity):
    """One child.

    Args:
        spec: the child's, see `specs.py`.
        above: the activity of the run whose cell asked it.
        run: of the child.
        question: its only one.
        call_turn: number of the turn above in which it is asked.
    """

    role: Literal["root", "sub"] = "sub"

    def __init__(
        self, spec: AgentSpec, above: Activity, run: RunRecord, question: QuestionRecord, call_turn: int
    ) -> None:
        super().__init__(spec, above.entry, above.home, above.shared)
        self.depth, self.account, self.asked = above.depth + 1, above.account, above.asked
        self._above, self._call_turn = above, call_turn
        self._run, self._question = run, question
        self._events, self._write = Events(run.id, self.depth), above._write

    @property
    def fence(self) -> Fence | None:
        """That of the run above, whose owner owns this one."""
        return self._above.fence

    @property
    def top(self) -> Activity:
        """The activity of the run that a person asked."""
        return self._above.top

    def exhausted(self) -> str | None:
        """The bound that forbids one more reply of the child's root; turns are its own."""
        most = self.spec.budget.turns
        return "turns" if most is not None and self.turns_used >= most else self.account.exhausted("child", 0)

    def left_line(self, turns: int) -> str:
        """What is left of the budget, and of the child's own turns."""
        return self.account.left_line(turns, replace(self.account.budget, turns=self.spec.budget.turns))

    async def usage(self) -> dict[str, Any]:
        """The child's share, that of its own children included."""
        own = Account(self.spec.budget)
        for row in await self.home.read(self.home.ledger.call_usage, self.run.call or ""):
            own.add(row)
        return own.report()

    async def load_extensions(self) -> None:
        """Bounds are raised for the run that a person asked."""
        await self._above.load_extensions()

    async def stand(self, head: str | None) -> None:
        """A child stands where its last turn left it."""

    async def record(self, step: StepRecord) -> StepRecord:
        """Records a step as one of the run that a person asked, which pays for it."""
        above = self._above
        return await above.record(
            replace(
                step,
                run=above.run.id,
                question=above.question.number,
                turn=self._call_turn,
                child=step.child or self.run.id,
            )
        )

    def warn(self) -> None:
        """The run above says what is low."""
        self._above.warn()

    def aside(self, run: RunRecord, question: QuestionRecord, chain: Sequence[TurnRecord]) -> Activity:
        """Another one that says nothing, for turns that are run again."""
        other = ChildActivity(self.spec, self._above, run, question, self._call_turn)
        other._events, other.chain = None, list(chain)
        return other
