"""The steps of the demo. Each prints what it does and what came of it, and returns what failed as one-line texts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_agent.cli.demo_child import LOG
from rlm_agent.cli.demo_corpus import Definition, Library, Truth, draw
from rlm_agent.cli.demo_models import cells
from rlm_agent.cli.demo_processes import child
from rlm_agent.store.home import Home

__all__ = ["Aggregation", "Location", "window_step", "write_input"]

NAMES, ENOUGH = 30, 27
RATIO = 100
KILL_AFTER = 60  # replies of the batch, which has some 200
KEYS = ("files", "lines", "classes", "functions", "imports")
THREADS = ("locate", "aggregate")


def _put(text: str = "") -> None:
    print(text, flush=True)


def write_input(library: Library, directory: Path) -> None:
    """Writes the input as one text file."""
    text = library.text
    (directory / "input.txt").write_text(text, "utf-8", newline="\n")
    _put(f"Input: {len(library.files)} files of this Python's standard library, tests left out, as one text:")
    left_out = f"; {library.left_out} left out, data or unreadable" if library.left_out else ""
    _put(f"    {len(text):,} characters, about {_tokens(text):,} tokens{left_out}")


def _tokens(text: str) -> int:
    """As the stand-ins' usage counts them: four characters a token."""
    return len(text) // 4


class Location:
    """(a): names drawn by a seed, located by the offline stand-in in one run."""

    def __init__(self, truth: Truth, seed: int) -> None:
        self._truth, self._seed = truth, seed
        self._drawn = draw(truth, NAMES, seed)

    def run(self, directory: Path) -> list[str]:
        """Asks, and compares path and line with the truth."""
        _put(f"\n(a) Where are they defined? {NAMES} classes and functions, drawn with seed {self._seed} from the")
        _put(
            f"    {len(self._truth.once):,} whose names are defined once, looked up in one run of the offline stand-in:"
        )
        (directory / "task.txt").write_text("\n".join(definition.question for definition in self._drawn), "utf-8")
        with child("locate", directory) as process:
            rlm = process.outcome()
        lines = str(rlm["content"]).splitlines()
        missed = [d for n, d in enumerate(self._drawn, 1) if not _is_located(lines, n, d)]
        for definition in [d for d in self._drawn if d not in missed][:3]:
            _put(f"    {definition.kind} {definition.name}: {definition.path}, line {definition.line}")
        for definition in missed:
            _put(f"    missed: {definition.kind} {definition.name}, in {definition.path}, line {definition.line}")
        located = NAMES - len(missed)
        _put(f"    {located} of {NAMES} located, by path and line; {rlm['usage']['sub']['calls']} sub-calls.")
        return [] if located >= ENOUGH else [f"(a) located {located} of {NAMES}, fewer than {ENOUGH}"]


def _is_located(lines: list[str], number: int, definition: Definition) -> bool:
    wanted = f"{number}. {definition.name}: {definition.path}:{definition.line}: "
    return any(line.startswith(wanted) for line in lines)


@dataclass(frozen=True, slots=True)
class _Killed:
    """What was on record when the first process was dead."""

    pid: int
    sub_calls: int
    root_calls: int


class Aggregation:
    """(b): every chunk counted by a sub-agent; killed in the batch, resumed by another process."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def run(self, directory: Path) -> list[str]:
        """Starts, kills, resumes; compares every number with the truth and every call with the record."""
        _put("\n(b) How much is in each package? A scripted root, three turns, replayed from rlm_agent/cli:")
        for number, cell in enumerate(cells(), 1):
            _put(f"    turn {number}")
            _put("\n".join(f"    | {line}" for line in cell.splitlines()))
        killed = self._kill(directory)
        with child("resume", directory) as process:
            rlm = process.outcome()
            _put(f"    process {process.pid} resumed the run and finished it.")
        failures = [*self._compare(rlm["content"]), *_paid_once(directory, killed, rlm["usage"])]
        return failures if rlm["ready"] else ["(b) the resumed run gave no ready answer", *failures]

    def _kill(self, directory: Path) -> _Killed:
        with child("aggregate", directory) as process:
            pid = process.pid
            process.kill_when(lambda: _answered(directory) >= KILL_AFTER)
        with Home(directory / "home") as home:
            (run,) = home.runs.list("aggregate")
            killed = _Killed(pid, home.ledger.count(run.id, "slot"), home.ledger.count(run.id, "root"))
        _put(f"    process {pid} killed with SIGKILL in the batch of turn 2: {killed.sub_calls} replies on record.")
        return killed

    def _compare(self, content: Any) -> Iterator[str]:
        counted: Mapping[str, Any] = content if isinstance(content, dict) else {}
        truth = self._truth.counts
        wrong = sorted({p for p in {*truth, *counted} if counted.get(p) != truth.get(p)})
        _put(f"\n    {'answer = truth by ast':<24}" + "".join(f"{key:>19}" for key in KEYS))
        largest = sorted(truth, key=lambda package: -truth[package]["lines"])[:8]
        for package in [*largest, *(p for p in wrong if p not in largest)]:
            _put(f"    {package:<24}" + _cells(counted.get(package, {}), truth.get(package, {})))
        _put(f"    {f'all {len(truth)} packages':<24}" + _cells(_sum(counted), _sum(truth)))
        _put(f"    {len(truth) - len(wrong)} of {len(truth)} packages right in all {len(KEYS)} numbers.")
        if wrong:
            yield f"(b) wrong numbers for {', '.join(wrong)}"


def _cells(counted: Mapping[str, int], truth: Mapping[str, int]) -> str:
    pairs = [(counted.get(key), truth.get(key)) for key in KEYS]
    return "".join(f"{f'{a} = {b}' if a == b else f'{a} != {b}':>19}" for a, b in pairs)


def _sum(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {key: sum(found[key] for found in counts.values()) for key in KEYS}


def _answered(directory: Path) -> int:
    from rlm_agent.testing import read_calls

    return sum(call.model == "scripted-sub" for call in read_calls(directory / LOG, "reply"))


def _paid_once(directory: Path, killed: _Killed, usage: Mapping[str, Any]) -> Iterator[str]:
    """Counts the durable call log of both processes against what was on record between them."""
    from rlm_agent.testing import read_calls

    starts = read_calls(directory / LOG, "start")
    first = {c.digest for c in starts if c.model == "scripted-sub" and c.pid == killed.pid}
    second = [c.digest for c in starts if c.model == "scripted-sub" and c.pid != killed.pid]
    roots = sum(c.model == "scripted-root" and c.pid != killed.pid for c in starts)
    total = usage["sub"]["calls"]
    again = len(second) - (total - killed.sub_calls)
    roots_again = roots - (len(cells()) - killed.root_calls)
    _put(
        f"    Sub-calls: {total}; on record at the kill {killed.sub_calls}, asked by the second process {len(second)}; "
        f"recorded replies asked again: {again + roots_again}."
    )
    _put(f"    In flight at the kill, so never recorded and asked anew: {len(first & set(second))} (at most 32).")
    if again or roots_again:
        yield f"(b) {again} recorded sub-calls and {roots_again} recorded root replies were asked again"
    if not 0 < killed.sub_calls < total:
        yield f"(b) the kill did not fall into the batch: {killed.sub_calls} of {total} were on record"


def window_step(library: Library, directory: Path) -> Iterator[str]:
    """What the roots read, beside what the input is."""
    with Home(directory / "home") as home:
        runs = {thread: home.runs.list(thread)[0].id for thread in THREADS}
        largest = max(_largest_prompt(home, run) for run in runs.values())
        read = {thread: _root_tokens(home, run) for thread, run in runs.items()}
    whole = _tokens(library.text)
    _put(f"\nTokens: the input has about {whole:,}. All that the roots read and wrote: {read['locate']:,} in (a),")
    _put(f"{read['aggregate']:,} in (b). Largest prompt of a root: {largest:,}; input / that: {whole / largest:.0f}.")
    if whole < RATIO * largest:
        yield f"the input is only {whole / largest:.0f} times the root's largest prompt, less than {RATIO}"


def _largest_prompt(home: Home, run: str) -> int:
    head = home.turns.head(run)
    turns = range(1, 1 + (0 if head is None else head.number))
    rows = [row for turn in turns for row in home.ledger.turn_usage(run, turn) if row.role == "root"]
    return max(-(-row.input_tokens // row.calls) for row in rows)


def _root_tokens(home: Home, run: str) -> int:
    rows = [row for row in home.ledger.usage(run) if row.role == "root"]
    return sum(row.input_tokens + row.output_tokens for row in rows)
