"""Fuzzer of the reader of root replies: any text gives a result in bounded time."""

import time
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_agent.root.fences import parse_reply

PIECES = [
    *(
        "```",
        "~~~",
        "````",
        "~~~~~",
        "```python",
        "```py",
        "~~~repl",
        "```json",
        "  ```repl",
        "\t```python x=1",
        "```{python}",
    ),
    *(
        '"""',
        "'''",
        'f"{',
        "(",
        "[",
        "{",
        ")",
        "x = 1",
        "def f():",
        "    return 1",
        "await f()",
        "\\",
        "#",
        "lambda: (",
        "@",
    ),
    *(
        "한글",
        "",
        " ",
        "\0",
        "\\d",
        "\r",
        "\x0c",
        "\u2028",
        "\ufeff",
        "\ud800",
        "`",
        "~",
        "```" * 50,
        "(" * 300,
        "-" * 300,
    ),
]
SLOWEST = 3.0


def check(text: str, cut_off: bool) -> float:
    """Reads a reply. Returns the processor's seconds."""
    began = time.process_time()
    reply = parse_reply(text, cut_off=cut_off)
    seconds = time.process_time() - began
    assert all(block.strip() for block in reply.blocks)
    assert sum(map(len, reply.blocks)) <= len(text)
    return seconds


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(st.sampled_from(PIECES) | st.text(max_size=10), max_size=40), cut_off=st.booleans())
def test_any_reply_is_read(lines: list[str], cut_off: bool) -> None:
    assert check("\n".join(lines), cut_off) < SLOWEST


def any_reply(random: Random) -> str:
    """Lines of fences, code and noise; some come many times."""
    lines = [random.choice(PIECES) for _ in range(random.randrange(1, 30))]
    if random.random() < 0.5:
        lines = [line[: random.randrange(len(line) + 1)] + random.choice(PIECES) for line in lines]
    text = random.choice(["\n", "\n", "\n", "\r\n", ""]).join(lines)
    return (text + "\n") * random.choice([1] * 50 + [20, 300])


def fuzz(batches: int, batch: int) -> tuple[int, float]:
    """Inputs, and seconds of the slowest. A hypothesis example is a seed, which stands for a batch."""
    inputs, slowest = 0, 0.0

    @settings(max_examples=batches, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**64))
    def run(seed: int) -> None:
        nonlocal inputs, slowest
        random = Random(seed)
        for _ in range(batch):
            slowest = max(slowest, check(any_reply(random), random.random() < 0.3))
            inputs += 1

    run()
    return inputs, slowest


def test_a_thousand_replies_are_read() -> None:
    inputs, slowest = fuzz(20, 50)
    assert inputs >= 1000
    assert slowest < SLOWEST


@pytest.mark.parametrize(
    "count",
    [pytest.param(15_000, marks=pytest.mark.slow), pytest.param(100_000, marks=pytest.mark.exhaustive)],
)
def test_many_replies_are_read(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, slowest = fuzz(count // 100, 100)
    with capsys.disabled():
        print(f"\nfences: {inputs} inputs, slowest {slowest * 1000:.0f} ms, no crash, no hang")
    assert inputs >= count
    assert slowest < SLOWEST
