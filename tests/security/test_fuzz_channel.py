"""Fuzzer of the host's side of the channel: whatever comes, the outcome is a value, a KernelError or the end."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_agent.errors import KernelError, SnapshotCorrupt
from rlm_agent.repl.channel import HEADER, MORE, AsyncChannel, pack, unpack
from rlm_agent.repl.manifest import Manifest
from rlm_agent.repl.protocol import parse_event, parse_saving, parse_starting

ANSWER = {"content": '"답"', "ready": True}
VARIABLE = {"name": "n", "type": "t", "size_bytes": 1, "shape": [2], "preview": "p", "lost": False}
LOSS = {"name": "n", "type": "t", "why": "w"}
MANIFEST = Manifest("3.11", b"k" * 64, b"body").encode()
ASKED = {"op": "request", "id": 1, "running": 0, "clock": [1]}
GOOD: list[dict[str, Any]] = [
    {"op": "done", "output": "x", "error": None, "error_kind": None, "answer": ANSWER, "clock": [1]},
    {**ASKED, "kind": "llm", "calls": [{"prompt": "p", "tools": ["t"]}]},
    {**ASKED, "kind": "rlm", "calls": [{"prompt": "p", "context": 0}], "contexts": [["text"]]},
    {**ASKED, "kind": "function", "name": "f", "args": [1], "kwargs": {"k": [2]}},
    {"op": "snapshot", "manifest": MANIFEST, "variables": [VARIABLE], "lost": [LOSS], "seconds": 0.1},
    {"op": "leaves", "leaves": [b"x"]},
    {"op": "fetch", "keys": [b"k" * 32]},
    {"op": "started", "lost": [LOSS]},
    {"op": "damaged", "why": "w"},
    {"op": "fault", "error": "w"},
]
PARSERS: tuple[Callable[[Any], Any], ...] = (parse_event, parse_saving, parse_starting)
READERS = {
    **dict.fromkeys(("done", "request", "fault"), parse_event),
    **dict.fromkeys(("snapshot", "leaves"), parse_saving),
    **dict.fromkeys(("fetch", "started", "damaged"), parse_starting),
}
REFUSALS: dict[str, tuple[type[Exception], str]] = {
    "fault": (KernelError, "The REPL worker failed: w"),
    "damaged": (SnapshotCorrupt, "cannot be loaded: w"),
}
SLOWEST = 2.0

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4))
    | st.just(msgpack.Timestamp(1)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=6,
)
fields = sorted({key for message in GOOD for key in message})


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message of a good worker with a field replaced, added or taken away, or with bytes changed."""
    message = dict(draw(st.sampled_from(GOOD)))
    for key in draw(st.lists(st.sampled_from(fields), max_size=2)):
        message[key] = draw(plain)
    for key in draw(st.lists(st.sampled_from(fields), max_size=1)):
        message.pop(key, None)
    packed = bytearray(msgpack.packb(message))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3)):
        packed[at % len(packed)] = value
    return bytes(packed)


@st.composite
def frame(draw: st.DrawFn) -> bytes:
    """A frame: whole, too short, too long, or one that promises more."""
    body = draw(mutated() | plain.map(lambda value: bytes(msgpack.packb(value))) | st.binary(max_size=40))
    length = draw(st.sampled_from([len(body)] * 6 + [len(body) + 1, max(len(body) - 1, 0), 2**31 - 1, 0]))
    return bytes(HEADER.pack(length | draw(st.sampled_from([0, 0, 0, MORE])))) + body


streams = st.lists(frame(), max_size=4).map(b"".join) | st.binary(max_size=60)


async def consume(stream: bytes, parsers: tuple[Callable[[Any], Any], ...]) -> tuple[int, int]:
    """Reads all messages of a stream as the host does. Returns how many there were, and how often one was accepted."""
    ours, theirs = socket.socketpair()
    count = accepted = 0
    with ours, theirs:
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)
        channel = AsyncChannel(ours)
        try:
            while True:
                message = await asyncio.wait_for(channel.receive(), SLOWEST)
                count += 1
                for parse in parsers:
                    try:
                        parse(message)
                    except (KernelError, SnapshotCorrupt):
                        continue
                    accepted += 1
        except (EOFError, KernelError):
            return count, accepted


@pytest.mark.parametrize("message", GOOD, ids=[f"{each['op']} {each.get('kind', '')}".strip() for each in GOOD])
def test_what_is_mutated_is_accepted_as_it_is(message: dict[str, Any]) -> None:
    unpacked = unpack(pack(message))
    read, refusal = READERS[message["op"]], REFUSALS.get(message["op"])
    if refusal is None:
        assert read(unpacked) is not None
    else:
        with pytest.raises(refusal[0], match=refusal[1]):
            read(unpacked)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(stream=streams)
def test_any_stream_is_survived(stream: bytes) -> None:
    asyncio.run(consume(stream, PARSERS))


# Many more, by a generator of their own: a hypothesis example is a seed, which stands for a batch.


def any_value(random: Random, depth: int = 0) -> Any:
    """Plain data, and some that is not."""
    if depth < 3 and random.random() < 0.4:
        members = [any_value(random, depth + 1) for _ in range(random.randrange(4))]
        keys = [random.choice(["a", "한", 1, -2, None, 1.5, b"k"]) for _ in members]
        return random.choice([members, dict(zip(keys, members, strict=True))])
    extension = msgpack.ExtType(random.randrange(128), random.randbytes(3))
    numbers = [random.randrange(-(2**63), 2**64), random.random(), float("nan"), True, -1, 2**32]
    return random.choice(
        [None, "x" * random.randrange(40), random.randbytes(5), extension, msgpack.Timestamp(1), *numbers]
    )


def any_change(random: Random, value: Any) -> Any:
    """The value with another in its place, or in that of something in it."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice(list(value))
        return {**value, key: any_change(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], any_change(random, value[at]), *value[at + 1 :]]
    return any_value(random)


def any_message(random: Random) -> bytes:
    """What a good worker says, with fields and bytes changed."""
    message = dict(random.choice(GOOD))
    for _ in range(random.choice([0, 1, 1, 2])):
        key = random.choice(fields)
        message[key] = any_change(random, message.get(key))
    if random.random() < 0.1:
        message.pop(random.choice(list(message)))
    packed = bytearray(msgpack.packb(message))
    for _ in range(random.choice([0, 0, 1, 3])):
        packed[random.randrange(len(packed))] = random.randrange(256)
    return bytes(packed)


def any_stream(random: Random) -> bytes:
    """Some frames; one of ten lies about its length."""
    stream = b""
    for _ in range(random.randrange(1, 5)):
        body = any_message(random) if random.random() < 0.9 else random.randbytes(random.randrange(50))
        length = len(body) if random.random() < 0.9 else random.randrange(2**31)
        stream += HEADER.pack(length | random.choice([0, 0, 0, 0, MORE])) + body
    return stream if random.random() < 0.9 else stream[: random.randrange(len(stream))]


def fuzz(batches: int, batch: int) -> tuple[int, int, int, float]:
    """Inputs, messages that came through, those that were accepted, seconds of the slowest."""
    inputs = messages = accepted = 0
    slowest = 0.0

    async def one_batch(seed: int) -> None:
        nonlocal inputs, messages, accepted, slowest
        random = Random(seed)
        for _ in range(batch):
            began = time.perf_counter()
            came, taken = await consume(any_stream(random), PARSERS)
            messages, accepted = messages + came, accepted + taken
            slowest = max(slowest, time.perf_counter() - began)
            inputs += 1

    with asyncio.Runner() as runner:

        @settings(max_examples=batches, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(seed=st.integers(0, 2**64))
        def run(seed: int) -> None:
            runner.run(one_batch(seed))

        run()
    return inputs, messages, accepted, slowest


def test_two_thousand_streams_are_survived() -> None:
    inputs, messages, accepted, _slowest = fuzz(20, 100)
    assert inputs >= 2000
    # Most streams hold what gets as far as the parsers, and many of those what gets to their ends.
    assert messages > 500
    assert accepted > messages / 10


@pytest.mark.parametrize(
    "count",
    [pytest.param(20_000, marks=pytest.mark.slow), pytest.param(100_000, marks=pytest.mark.exhaustive)],
)
def test_many_streams_are_survived(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, messages, accepted, slowest = fuzz(count // 100, 100)
    told = f"{inputs} inputs, {messages} messages, {accepted} accepted, slowest {slowest * 1000:.0f} ms"
    with capsys.disabled():
        print(f"\nchannel: {told}, no crash, no hang")
    assert inputs >= count
    assert slowest < SLOWEST


BOMBS = {
    "empty lists": b"\xdd" + (60_000_000).to_bytes(4, "big") + b"\x90" * 60_000_000,
    "nested lists": (b"\xdc\xff\xff" + b"\x90" * 0xFFFE) * 400,
    "empty dicts": b"\xdd" + (20_000_000).to_bytes(4, "big") + b"\x80" * 20_000_000,
    "promised lists": b"\xdd\x03\xff\xff\xff" * 400,
    "numbers": b"\xdd" + (20_000_000).to_bytes(4, "big") + b"\xcd\x7f\xff" * 20_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_message_does_not_grow_in_memory(bomb: str) -> None:
    # In a process of its own: a resident size never shrinks, and a failure must not take the tests along.
    program = (
        "import resource, sys\n"
        "from rlm_agent.repl.channel import MOST_VALUES, unpack\n"
        "payload = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: unpack(payload, MOST_VALUES)\n"
        "except ValueError as error: print(error)\n"
        "else: raise SystemExit('it came through')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], input=BOMBS[bomb], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 1000
