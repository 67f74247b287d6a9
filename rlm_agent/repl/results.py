"""LLMResult: what a sub-call gives the cell that made it, a `str` that also tells how it went.

It lives in an importable module, so that a snapshot holds a reference to the class and not its code.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["LLMResult"]


class LLMResult(str):
    """The reply as text; "" or the partial text when the call failed.

    Attributes:
        ok: False when this slot failed; the others of its batch are not touched by that.
        error: why it failed; None when it did not.
        data: the reply parsed by `schema`; None without one.
        sources: what the sub-agent read: dicts with "url" or "path", "title", "date", "sha256".
        usage: tokens of the call, {"input_tokens": ..., "output_tokens": ..., ...}.
        model: name of the model that answered.
        seconds: wall clock time of the call.
    """

    ok: bool
    error: str | None
    data: Any
    sources: list[Any]
    usage: dict[str, Any]
    model: str | None
    seconds: float

    def __new__(
        cls,
        text: str = "",
        *,
        ok: bool = True,
        error: str | None = None,
        data: Any = None,
        sources: Sequence[Any] = (),
        usage: Mapping[str, Any] | None = None,
        model: str | None = None,
        seconds: float = 0.0,
    ) -> "LLMResult":
        self = super().__new__(cls, text)
        self.ok, self.error, self.data = ok, error, data
        self.sources, self.usage = list(sources), dict(usage or {})
        self.model, self.seconds = model, seconds
        return self

    @classmethod
    def from_reply(cls, reply: Mapping[str, Any]) -> "LLMResult":
        """The result in one slot of the host's answer."""
        return cls(
            reply.get("text") or "",
            ok=bool(reply.get("ok", True)),
            error=reply.get("error"),
            data=reply.get("data"),
            sources=reply.get("sources") or (),
            usage=reply.get("usage"),
            model=reply.get("model"),
            seconds=reply.get("seconds") or 0.0,
        )

    def __repr__(self) -> str:
        if self.ok:
            return super().__repr__()
        return f"LLMResult({super().__repr__()}, ok=False, error={self.error!r})"
