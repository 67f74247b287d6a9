"""Sink: the file that a pickler writes to. It takes the frames off, and large values out, of what is written.

Frames hold their length and end wherever 64 KiB are full, so that one byte more shifts all that follow; without them
equal objects are equal bytes wherever they stand. Invariant: the text with the payloads put back at their places is
what the pickler wrote, frame headers aside, whatever it wrote; a payload that is not recognised stays in the text.
"""

import pickle
from collections.abc import Callable

from rlm_agent.repl.leaves import LARGE

__all__ = ["PROTO", "Buffer", "Sink", "framed"]

Buffer = bytes | bytearray | memoryview

FRAME_HEADER = 9
PROTO = bytes([*pickle.PROTO, 5])
"""What each pickle begins with, and what is taken off, too."""
# Opcode -> bytes of the length that follows it.
LONG_LENGTHS = (pickle.BINBYTES8[0], pickle.BINUNICODE8[0], pickle.BYTEARRAY8[0])
SHORT_LENGTHS = (pickle.BINBYTES[0], pickle.BINUNICODE[0])


def framed(text: bytes) -> bytes:
    """The text as one frame, which an unpickler reads at once and not by single bytes."""
    return pickle.FRAME + len(text).to_bytes(8, "little") + text


class Sink:
    """Collects what one `dump` writes.

    Args:
        payload: called with the place in the text and each large value that was taken out of it.
    """

    def __init__(self, payload: Callable[[int, Buffer], None]) -> None:
        self._payload = payload
        self._text = bytearray()
        self._expected = 0

    def write(self, given: bytes | bytearray | pickle.PickleBuffer) -> int:
        """Called by the pickler: with frames, with the opcode of a large value, and with that value alone."""
        data = given.raw() if isinstance(given, pickle.PickleBuffer) else given
        if self._expected and len(data) == self._expected:
            self._payload(len(self._text), data)
            self._expected = 0
        else:
            tail = self._strip(data)
            self._expected = _announced(data[tail:])
        return len(data)

    def take(self) -> bytes:
        """The text since the last call."""
        text = bytes(self._text)
        self._text.clear()
        self._expected = 0
        return text

    def _strip(self, data: Buffer) -> int:
        """Takes in frames and what follows them. Returns where the last frame ends."""
        view, at = memoryview(data), 0
        if not self._text and bytes(view[:2]) == PROTO:
            at = 2
        while bytes(view[at : at + 1]) == pickle.FRAME:
            size = int.from_bytes(view[at + 1 : at + FRAME_HEADER], "little")
            at += FRAME_HEADER
            self._text += view[at : at + size]
            at += size
        self._text += view[at:]
        return at


def _announced(tail: Buffer) -> int:
    """Length of the large value whose opcode ends these unframed bytes; 0 where there is none."""
    if len(tail) >= 9 and tail[-9] in LONG_LENGTHS:
        size = int.from_bytes(tail[-8:], "little")
    elif 5 <= len(tail) < 9 and tail[-5] in SHORT_LENGTHS:
        size = int.from_bytes(tail[-4:], "little")
    else:
        return 0
    return size if size >= LARGE else 0
