"""Channel: messages between the host and the processes it forks, as length-prefixed msgpack over a stream socket.

Invariant: only plain data crosses, never pickle. A message is one or more frames of at most FRAME_LIMIT bytes; a frame
is a 4-byte big-endian header (the top bit says that more frames of this message follow) and its bytes. A file
descriptor travels with the first header. What messages mean is left to `protocol.py` and `worker.py`.
"""

import array
import asyncio
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from rlm_agent.errors import KernelError

__all__ = ["EVENT_LIMIT", "FRAME_LIMIT", "MESSAGE_LIMIT", "AsyncChannel", "Channel", "pack", "unpack"]

FRAME_LIMIT = 64 << 20
EVENT_LIMIT = 512 << 20
MESSAGE_LIMIT = (4 << 30) - 1
# One byte of msgpack can be an object of 64 bytes: what a worker says is limited in both.
MOST_VALUES = 2_000_000
MORE = 1 << 31
HEADER = struct.Struct(">I")


def pack(message: Any, limit: int = MESSAGE_LIMIT) -> bytes:
    """Bytes of plain data. Half surrogate pairs, which UTF-8 cannot hold, are written as escapes.

    Raises:
        TypeError, ValueError, OverflowError: the message holds something that is no plain data or is too large.
    """
    packed: bytes = msgpack.packb(message, unicode_errors="backslashreplace")
    if len(packed) > limit:
        raise ValueError(f"{len(packed)} bytes are more than a message can hold ({limit})")
    return packed


def unpack(payload: bytes | bytearray, most: int | None = None) -> Any:
    """The message in these bytes.

    Args:
        most: values that it may hold; None where the sender is trusted.

    Raises:
        ValueError: they are no msgpack, or hold too much.
    """
    limits: dict[str, Any] = {} if most is None else _limits(most, len(payload))
    try:
        return msgpack.unpackb(payload, strict_map_key=False, **limits)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"no msgpack: {error}") from error


def _limits(most: int, size: int) -> dict[str, Any]:
    """Options of the unpacker: containers are counted as they are filled, and nothing but plain data is made."""
    left = most

    def counted(container: Any) -> Any:
        nonlocal left
        left -= len(container) + 1
        if left < 0:
            raise ValueError(f"more than {most} values")
        return container

    def refused(code: int, data: bytes) -> Any:
        raise ValueError(f"an extension of type {code}")

    longest = min(most, size)
    hooks = {"list_hook": counted, "object_hook": counted, "ext_hook": refused}
    return {"max_array_len": longest, "max_map_len": longest, **hooks}


def frames(payload: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Header and body of each frame of a message."""
    view = memoryview(payload)
    for start in range(0, max(len(view), 1), FRAME_LIMIT):
        body = view[start : start + FRAME_LIMIT]
        more = MORE if start + FRAME_LIMIT < len(view) else 0
        yield HEADER.pack(len(body) | more), body


def read_header(header: bytes | bytearray, received: int, limit: int) -> tuple[int, bool]:
    """Length of the frame, and whether more follow.

    Raises:
        ValueError: the frame, or the message with it, is over its limit.
    """
    (word,) = HEADER.unpack(header)
    length = word & ~MORE
    if length > FRAME_LIMIT:
        raise ValueError(f"a frame of {length} bytes, more than {FRAME_LIMIT}")
    if received + length > limit:
        raise ValueError(f"a message of more than {limit} bytes")
    return length, bool(word & MORE)


class Channel:
    """The blocking end: any thread sends, one thread receives.

    Attributes:
        fds: descriptors received so far that nobody has taken.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.fds: list[int] = []
        self._sending = threading.Lock()

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Sends a message whole; see `pack` for what it raises before a byte is out."""
        self.send_packed(pack(message), fds)

    def send_packed(self, payload: bytes, fds: Sequence[int] = ()) -> None:
        """Sends what `pack` made."""
        with self._sending:
            for header, body in frames(payload):
                if fds:
                    socket.send_fds(self.socket, [header], list(fds))
                    fds = ()
                else:
                    self.socket.sendall(header)
                self.socket.sendall(body)

    def receive(self, limit: int = MESSAGE_LIMIT) -> Any:
        """The next message.

        Raises:
            EOFError: the other end is gone.
            ValueError: what came is no message of ours.
        """
        payload = bytearray()
        more = True
        while more:
            length, more = read_header(self._read_header(), len(payload), limit)
            payload += self._read(length)
        return unpack(payload)

    def _read_header(self) -> bytes:
        header = b""
        while len(header) < HEADER.size:
            room = socket.CMSG_SPACE(array.array("i", [0]).itemsize)
            data, ancillary, _flags, _address = self.socket.recvmsg(HEADER.size - len(header), room)
            if not data:
                raise EOFError("the other end is gone")
            header += data
            for level, kind, raw in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self.fds.extend(array.array("i", raw[: len(raw) - len(raw) % 4]))
        return header

    def _read(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self.socket.recv_into(view)
            if not count:
                raise EOFError("the other end is gone")
            view = view[count:]
        return data


class AsyncChannel:
    """The host's end, on the running loop. One coroutine sends and one receives at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock

    async def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Sends a message whole.

        Raises:
            KernelError: the message is no plain data.
            OSError: the other end is gone.
        """
        try:
            payload = pack(message)
        except (TypeError, ValueError, OverflowError) as error:
            raise KernelError(f"Only plain data can be sent to the REPL: {error}") from error
        loop = asyncio.get_running_loop()
        for header, body in frames(payload):
            if fds:
                socket.send_fds(self._socket, [header], list(fds))
                fds = ()
            else:
                await loop.sock_sendall(self._socket, header)
            await loop.sock_sendall(self._socket, body)

    async def receive(self, limit: int = EVENT_LIMIT) -> Any:
        """The next message.

        Raises:
            EOFError: the other end is gone.
            KernelError: what came is no message of ours, or over its limit.
        """
        payload = bytearray()
        more = True
        try:
            while more:
                header = await self._read(HEADER.size)
                length, more = read_header(header, len(payload), limit)
                payload += await self._read(length)
            return unpack(payload, MOST_VALUES)
        except ConnectionError as error:
            raise EOFError("the other end is gone") from error
        except ValueError as error:
            raise KernelError(f"The REPL worker broke the protocol: {error}.") from error

    async def _read(self, length: int) -> bytearray:
        loop = asyncio.get_running_loop()
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = await loop.sock_recv_into(self._socket, view)
            if not count:
                raise EOFError("the other end is gone")
            view = view[count:]
        return data

    def at_end(self) -> bool:
        """Whether the other end has closed and nothing is left to be read."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Closes the socket. Harmless twice."""
        self._socket.close()
