"""The rebuild: snapshots that cannot be restored are made again, by running the recorded cells against the ledger.

For a blob that is lost or damaged, a key that is gone, or another Python. It takes time and no tokens: whatever a cell
asked is answered from the record. Invariant: turns and steps are only read; a turn gets another snapshot once its cells
have run again, and a cell that asks for something new ends the rebuild with the turns before it whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rlm_agent.entries.activity import Activity
from rlm_agent.errors import SnapshotCorrupt
from rlm_agent.store import snapshots
from rlm_agent.store.records import StepRecord, TurnRecord
from rlm_agent.turns.running import TurnRun

__all__ = ["Rebuilt", "rebuild"]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did.

    Attributes:
        turns: numbers of those that have a new snapshot.
        differs: numbers of those among them whose cells printed something else than on record.
        lost: variables that the new snapshots could not hold: {"name", "type", "why"}.
    """

    turns: tuple[int, ...] = ()
    differs: tuple[int, ...] = ()
    lost: tuple[dict[str, str], ...] = ()


async def rebuild(activity: Activity, chain: Sequence[TurnRecord]) -> Rebuilt:
    """Makes again the snapshots of a chain of turns that cannot be restored here.

    Args:
        activity: owns the run.
        chain: from the run's first turn to its head.

    Raises:
        SnapshotCorrupt: a cell asks for something that is not on record, or a reply is gone; the message names it.
    """
    home = activity.home
    broken = await home.read(snapshots.broken, home, chain)
    again = _Again(activity, chain)
    try:
        for at, turn in enumerate(chain):
            if turn.id in broken:
                await again.run(at)
            else:
                await again.leave()
    finally:
        await again.leave()
    return Rebuilt(tuple(again.turns), tuple(again.differs), tuple(again.lost.values()))


class _Again:
    """Runs turns again, those in a row in one worker."""

    def __init__(self, activity: Activity, chain: Sequence[TurnRecord]) -> None:
        self._activity, self._chain = activity, chain
        self._before: TurnRun | None = None
        self.turns: list[int] = []
        self.differs: list[int] = []
        self.lost: dict[str, dict[str, str]] = {}

    async def run(self, at: int) -> None:
        """Runs one turn again and gives it its new snapshot."""
        turn = self._chain[at]
        current = await self._turn_run(at)
        before, self._before = self._before, current
        if before is not None and before.activity.question.number == turn.question:
            current.take_over(before.hand_over())
        elif before is not None:
            await before.close()
        replayed = await current.replay()
        if replayed.unrecorded:
            raise SnapshotCorrupt(_diverged(turn, replayed.unrecorded, self._activity.run.thread))
        assert replayed.kept is not None
        if replayed.kept.snapshot is not None:
            await self._activity.home.signatures.replace(turn, replayed.kept.snapshot, self._activity.fence)
        self.turns.append(turn.number)
        if replayed.output != await self._recorded_output(turn):
            self.differs.append(turn.number)
        known = {loss["name"] for loss in turn.lost}
        self.lost |= {str(loss["name"]): dict(loss) for loss in replayed.kept.lost if loss["name"] not in known}

    async def leave(self) -> None:
        """Ends the worker: the next turn that is run again starts from a snapshot."""
        before, self._before = self._before, None
        if before is not None:
            await before.close()

    async def _turn_run(self, at: int) -> TurnRun:
        turn, home = self._chain[at], self._activity.home
        run = await home.read(home.runs.get, turn.run)
        question = await home.read(home.runs.question, turn.run, turn.question)
        aside = self._activity.aside(run, question, self._chain[:at])
        return TurnRun(aside, turn.number, turn.lineage_before, await self._reply(turn))

    async def _reply(self, turn: TurnRecord) -> StepRecord:
        home = self._activity.home
        step: StepRecord | None = await home.read(home.ledger.get, turn.reply_key)
        if step is None:
            raise SnapshotCorrupt(
                f"The root's reply of turn {turn.number} is not in the ledger, so its cells cannot be run again."
            )
        return step

    async def _recorded_output(self, turn: TurnRecord) -> str:
        home = self._activity.home
        if turn.output_ref is None:
            return turn.output
        return (await home.read(home.blobs.get, turn.output_ref)).decode("utf-8", "replace")


def _diverged(turn: TurnRecord, unrecorded: Sequence[str], thread: str | None) -> str:
    example = " ".join(unrecorded[0].split())[:80]
    before = f"Turns up to {turn.number - 1} are whole: `rlm fork {thread} --turn {turn.number - 1}` goes on from there"
    return (
        f"Turn {turn.number} cannot be rebuilt: run again, its code asks for {len(unrecorded)} things that are not on "
        f"record ({example!r} for one), so it does not do the same twice. "
        + (f"{before}." if turn.number > 1 else "No turn before it is whole: ask anew.")
    )
