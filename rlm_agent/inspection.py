"""Looking at recorded runs: `open_run` and `runs`. Needs the home only, no agent and no model.

A living run can be looked at while another process works on it: turns and steps are never changed once written. Values
are converted, and code tried out, in workers of `recorded/values.py`; forks are `recorded/forks.py`'s, events
`recorded/story.py`'s: modules that are loaded when they are used, so that looking at turns loads neither LangChain nor
numpy.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from rlm_agent import keys
from rlm_agent.budget import check_amounts
from rlm_agent.errors import ConfigError
from rlm_agent.recorded.turn_view import Answer, TurnView, Variable, folded, variables_of
from rlm_agent.store.home import Home, as_home
from rlm_agent.store.records import QuestionRecord, RunRecord, TurnRecord

if TYPE_CHECKING:
    from rlm_agent.recorded.values import EvalResult, RunCopy

__all__ = ["Answer", "RunView", "TurnView", "Variable", "open_run", "runs"]


class RunView:
    """One recorded run."""

    def __init__(self, record: RunRecord, home: Home) -> None:
        self.record = record
        self.home = home

    def __repr__(self) -> str:
        return f"<run {self.id[:8]} of thread {self.record.thread!r}, {len(self.turns)} turns>"

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self.record.id

    @property
    def turns(self) -> list[TurnView]:
        """The turns that the head descends from, oldest first; those that a fork shares with its origin included."""
        return [TurnView(turn, self.home) for turn in self._chain()]

    @property
    def head(self) -> TurnView | None:
        """The newest turn, or None before the first."""
        head = self.home.turns.head(self.id)
        return None if head is None else TurnView(head, self.home)

    @property
    def questions(self) -> list[QuestionRecord]:
        """The inputs to the run, oldest first."""
        return self.home.runs.questions(self.id)

    @property
    def question(self) -> QuestionRecord:
        """The question that the run stands at: the newest, unless the thread was entered at an older checkpoint."""
        return self.home.runs.question(self.id)

    @property
    def status(self) -> str:
        """Of the question that the run stands at: "open", "stopped" or "answered"."""
        return self.question.status

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """What an open question waits for from a person: [{"what", "name", "args", "description", "allowed"}, ...]."""
        question = self.question
        if question.status != "open":
            return []
        steps = [step for step in self.home.ledger.reached(self.id, "human") if step.question == question.number]
        answered = {keys.asked_key(step.key) for step in steps if "decision" in step.body}
        return [dict(step.body["asked"]) for step in steps if step.body.get("asked") and step.key not in answered]

    @property
    def answer(self) -> Answer:
        """The answer to that question as it stands."""
        question, head = self.question, self.head
        if head is None or head.record.question != question.number:
            return Answer("", False)
        answer = head.answer
        return Answer(answer.content, question.status == "answered")

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens and cost of the whole run, its children included: {root, sub, total, by_model, seconds}. A fork's
        begins with its origin's.
        """
        ledger = self.home.ledger
        rows = ledger.usage(self.id) if self.record.call is None else ledger.call_usage(self.record.call)
        return folded(rows, sum(q.active_seconds for q in self.questions))

    def events(self) -> list[dict[str, Any]]:
        """The run's story as the events that it streamed, told again from its records: also of a killed run."""
        from rlm_agent.recorded.story import story

        return story(self.home, self.record, self._chain())

    def variables(self, turn: int | None = None) -> list[Variable]:
        """The variables at the end of a turn, of the newest by default. Starts no worker."""
        chain = self._chain(turn)
        return variables_of(chain[-1] if chain else None)

    def value(self, name: str, turn: int | None = None, as_: Literal["json", "text", "npy", "bytes"] = "json") -> Any:
        """A variable's value at the end of a turn, converted in a worker: only plain data reaches this process.

        Args:
            name: the variable.
            turn: number of the turn; None: the newest.
            as_: "json": dicts, lists, numbers and strings; "text": its `str`; "npy": a numpy array; "bytes": bytes.

        Raises:
            ConfigError: there is no such turn or variable, it is lost, or it has no such form.
        """
        from rlm_agent.recorded.values import read_value

        with self.copy(turn) as copy:
            chain = self._chain(turn)
            return read_value(copy, chain[-1] if chain else None, name, as_)

    def eval(self, code: str, turn: int | None = None) -> "EvalResult":
        """Runs code on a throw-away copy of the REPL as it was at the end of a turn; the run itself is untouched.

        The task, context, messages and history are bound; sub-calls and host functions are not to be had.
        """
        with self.copy(turn) as copy:
            return copy.eval(code)

    def copy(self, turn: int | None = None) -> "RunCopy":
        """A throw-away copy for several `eval`s. A context manager; its worker starts with the first."""
        from rlm_agent.recorded.values import RunCopy

        chain = self._chain(turn)
        question = self.question if turn is None else self.home.runs.question(self.id, chain[-1].question)
        return RunCopy(self.home, question, chain, self.record.thread)

    def tell(self, text: str) -> None:
        """Leaves a note that the root reads at its next turn, in whatever process that is."""
        if not isinstance(text, str) or not text.strip():
            raise ConfigError("tell(text): there is nothing to tell; give a non-empty str.")
        from rlm_agent.bridge import run_sync

        run_sync(lambda: self.home.notes.add(self.id, text))

    def extend(self, **amounts: float) -> None:
        """Raises bounds of the question that the run stands at: `extend(usd=+10, turns=5)`.

        A living run has them from its next turn on, a stopped one when its thread is invoked with None. What has no
        bound stays without one.

        Args:
            amounts: names of `Budget`, each with the number by which the bound is raised.

        Raises:
            ConfigError: a name is no bound, or an amount does not raise it.
        """
        check_amounts(amounts)
        from rlm_agent.bridge import run_sync

        run_sync(lambda: self.home.extensions.add(self.id, self.question.number, amounts))

    def fork(
        self,
        turn: int,
        *,
        code: str | None = None,
        message: str | None = None,
        resample: bool = False,
        thread: str | None = None,
    ) -> dict[str, Any]:
        """Makes a new thread that stands where a turn ended; `agent.invoke(None, config)` goes on from there.

        Turns and blobs are shared, and this run is not touched. The fork goes on with the turn's question, even where
        that was answered: the content is kept. Its usage begins with what was used by then. What it asks for again
        unchanged is answered from the record.

        Args:
            turn: number of the turn.
            code: what the next turn runs, instead of asking the root.
            message: a note that the root reads with its next reply, which is asked anew.
            resample: asks for everything anew.
            thread: id of the new thread; None: a random one.

        Returns:
            The config of the new thread.

        Raises:
            ConfigError: there is no such turn, the code or the message is empty, or the thread has a run.
        """
        from rlm_agent.bridge import run_sync
        from rlm_agent.recorded.forks import Branch, make_fork

        chain, branch = self._chain(), Branch(code, message, resample, thread)
        at = len(self._chain(turn))
        made = run_sync(lambda: make_fork(self.home, self.record, chain, at, branch))
        return {"configurable": {"thread_id": made}}

    def delete(self) -> None:
        """Removes the run: its turns, questions, ledger, notes, and the thread's checkpoints in the home's own saver.

        A run that others were forked from goes in so far as they do not need it. Blobs are freed by `rlm gc`.

        Raises:
            LeaseHeld: it is being worked on; the message names the owner.
        """
        from rlm_agent.bridge import run_sync
        from rlm_agent.recorded.removal import remove_runs

        run_sync(lambda: remove_runs(self.home, [self.record]))

    def _chain(self, turn: int | None = None) -> list[TurnRecord]:
        """The turns up to one of them, or up to the head."""
        head = self.home.turns.head(self.id)
        chain = [] if head is None else self.home.turns.chain(head.id)
        if turn is None:
            return chain
        upto = [record for record in chain if record.number <= turn]
        if not upto or upto[-1].number != turn:
            there = f"its turns are {chain[0].number} to {chain[-1].number}" if chain else "it has no turn yet"
            raise ConfigError(f"The run of thread {self.record.thread!r} has no turn {turn!r}: {there}.")
        return upto


def open_run(
    thread: "str | Mapping[str, Any]", name: str = "rlm", home: "Home | str | os.PathLike[str] | None" = None
) -> RunView:
    """Opens the newest run of a thread.

    Args:
        thread: a thread id, or a config that has one.
        name: the agent's name.
        home: a `Home`, a path, or None for the default.

    Raises:
        ConfigError: the home holds no such run.
    """
    id_ = _thread_id(thread)
    opened = as_home(home)
    found = opened.runs.newest(id_, "", name)
    if found is not None:
        return RunView(found[0], opened)
    embedded = [run for run in opened.runs.list(id_) if run.name == name]
    if not embedded:
        raise ConfigError(f"The home {opened.path} holds no run of thread {id_!r} by an agent named {name!r}.")
    return RunView(max(embedded, key=lambda run: run.created), opened)


def _thread_id(thread: "str | Mapping[str, Any]") -> str:
    given = thread if isinstance(thread, str) else (thread.get("configurable") or {}).get("thread_id")
    if given is None:
        raise ConfigError('The config names no thread: give {"configurable": {"thread_id": "..."}}, or a thread id.')
    return str(given)


def runs(thread_id: str | None = None, home: "Home | str | os.PathLike[str] | None" = None) -> list[RunView]:
    """All runs of a thread, or of the home, oldest first."""
    opened = as_home(home)
    return [RunView(run, opened) for run in sorted(opened.runs.list(thread_id), key=lambda run: run.created)]
