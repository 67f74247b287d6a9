"""Ranges for all attacks, and the table of them that is printed at the end."""

from collections import Counter
from collections.abc import Iterator

import pytest
from ranges import Ranges
from tables import table


@pytest.fixture(scope="session")
def ranges() -> Iterator[Ranges]:
    made = Ranges()
    yield made
    made.close()


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> dict[tuple[str, ...], str]:
    """(attack, user) -> "breach", or the layer that refused."""
    return table(request.config, "attacks")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Attacks, blocked, and by which layer."""
    results = table(config, "attacks")
    if not results:
        return
    terminalreporter.section("attacks")
    for user in sorted({user for _, user in results}):
        layers = Counter(layer for (_, who), layer in results.items() if who == user)
        breaches = layers.pop("breach", 0)
        by = ", ".join(f"{layer} {count}" for layer, count in layers.most_common())
        total = sum(layers.values())
        terminalreporter.write_line(f"as {user}: {total + breaches} attacks, {total} blocked ({by})")
