"""Ranges for all attacks, and the table of them that is printed at the end."""

from collections import Counter
from collections.abc import Iterator

import pytest
from ranges import Ranges
from tables import table

ENDS = ("breach", "the user", "nothing")


@pytest.fixture(scope="session")
def ranges() -> Iterator[Ranges]:
    made = Ranges()
    yield made
    made.close()


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> dict[tuple[str, ...], str]:
    """(attack, user) -> "breach", or the layers each of which stops it; "the user" has no right to it, or "nothing"
    is there to be had."""
    return table(request.config, "attacks")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Attacks, blocked, and by which layers: as the attacks declare it and the slow tests find it."""
    results = table(config, "attacks")
    if not results:
        return
    terminalreporter.section("attacks")
    for user in sorted({user for _, user in results}):
        outcomes = [outcome for (_, who), outcome in results.items() if who == user]
        breaches = outcomes.count("breach")
        ends = Counter(outcomes)
        layers = Counter(layer for outcome in outcomes if outcome not in ENDS for layer in outcome.split())
        by = ", ".join(f"{layer} {count}" for layer, count in layers.most_common())
        others = f"{ends['the user']} no such user may do, {ends['nothing']} come to nothing anyway"
        blocked = len(outcomes) - breaches
        terminalreporter.write_line(f"as {user}: {len(outcomes)} attacks, {blocked} blocked; stopped by {by}; {others}")
