"""Bytes as text, in whatever encoding they are. Pure."""

from io import BytesIO

from rlm_agent.store.charset import NotText, guesses, opening, sample

__all__ = ["NotText", "decoded"]

_HEAD = 4096


def decoded(data: bytes, declared: str = "") -> str:
    r"""The text, with "\n" at the ends of lines.

    Args:
        data: all of it.
        declared: the charset that a server told, "" where none.

    Raises:
        NotText: it is no text in any encoding.
    """
    encoding = opening(data[: 1 << 16])
    try:
        text = data[encoding.skip :].decode(encoding.codec)
    except UnicodeDecodeError:
        text = _guessed(data, declared)
    if "\0" in text:
        raise NotText
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guessed(data: bytes, declared: str) -> str:
    for encoding in guesses(sample(BytesIO(data)), data[:_HEAD], declared):
        try:
            return data[encoding.skip :].decode(encoding.codec, encoding.errors)
        except UnicodeDecodeError:
            continue
    raise NotText
