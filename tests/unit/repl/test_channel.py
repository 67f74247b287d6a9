"""Frames: what goes in comes out, and garbage is an error, never a crash."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rlm_agent.errors import KernelError
from rlm_agent.repl import channel
from rlm_agent.repl.channel import HEADER, MORE, AsyncChannel, Channel

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("message", [None, "한국어 😀", [1, 2.5, b"x", {"키": [True]}], {"": {}}, 2**63])
async def test_a_message_comes_through_both_ways(pair: Pair, message: Any) -> None:
    host, worker = AsyncChannel(pair[0]), Channel(pair[1])
    await host.send(message)
    assert worker.receive() == message
    worker.send(message)
    assert await host.receive() == message


async def test_a_large_message_travels_in_frames(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "FRAME_LIMIT", 1000)
    host, worker = AsyncChannel(pair[0]), Channel(pair[1])
    message = ["가" * 100_000, os.urandom(54_321)]
    thread = threading.Thread(target=lambda: worker.send(worker.receive()))
    thread.start()
    await host.send(message)
    assert await host.receive() == message
    thread.join()


async def test_half_surrogates_arrive_as_escapes(pair: Pair) -> None:
    Channel(pair[1]).send("a\ud800b")
    assert await AsyncChannel(pair[0]).receive() == "a\\ud800b"


async def test_descriptors_travel_with_a_message(pair: Pair) -> None:
    host, worker = AsyncChannel(pair[0]), Channel(pair[1])
    reader, writer = os.pipe()
    await host.send({"first": 1})
    await host.send({"second": 2}, [reader])
    os.close(reader)
    assert worker.receive() == {"first": 1}
    assert worker.receive() == {"second": 2}
    os.write(writer, b"through")
    os.close(writer)
    (received,) = worker.fds
    assert os.read(received, 100) == b"through"
    os.close(received)


@pytest.mark.parametrize(
    "raw",
    [
        HEADER.pack((64 << 20) + 1),
        HEADER.pack(0xFFFFFFFF),
        HEADER.pack(0),
        HEADER.pack(3) + b"\xc1\xc1\xc1",
        HEADER.pack(2) + b"\x01\x01",
        HEADER.pack(2) + b"\xa5a",
        HEADER.pack(3) + b"\x81\x90\x01",
        HEADER.pack(2) + b"\xa1\xff",
        HEADER.pack(200_000) + b"\x91" * 200_000,
        HEADER.pack(3) + b"\xd4\x05x",
        HEADER.pack(2_000_010) + b"\xdd\x00\x1e\x84\x85" + b"\x90" * 2_000_005,
    ],
)
async def test_garbage_is_a_kernel_error(pair: Pair, raw: bytes) -> None:
    thread = threading.Thread(target=pair[1].sendall, args=(raw,))
    thread.start()
    with pytest.raises(KernelError, match="broke the protocol"):
        await AsyncChannel(pair[0]).receive()
    thread.join()


async def test_a_message_over_its_limit_is_a_kernel_error(pair: Pair) -> None:
    for _ in range(3):
        pair[1].sendall(HEADER.pack(40 | MORE) + bytes(40))
    with pytest.raises(KernelError, match="more than 100 bytes"):
        await AsyncChannel(pair[0]).receive(limit=100)


async def test_the_end_is_an_eof(pair: Pair) -> None:
    host = AsyncChannel(pair[0])
    assert not host.at_end()
    pair[1].sendall(HEADER.pack(100) + b"half")
    pair[1].close()
    with pytest.raises(EOFError):
        await host.receive()
    assert host.at_end()


def test_the_blocking_end_sees_the_end_too(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(EOFError):
        Channel(pair[1]).receive()


async def test_what_is_no_plain_data_is_refused_before_a_byte_is_out(pair: Pair) -> None:
    host = AsyncChannel(pair[0])
    with pytest.raises(KernelError, match="plain data"):
        await host.send({"x": object()})
    with pytest.raises(TypeError):
        Channel(pair[1]).send(object())
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(host.receive(), 0.02)
