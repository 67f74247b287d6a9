"""Lost: the stand-in for a value that a snapshot could not hold.

Invariant: nothing is dropped in silence. The name stays bound, printing it tells what was there, and any use raises
`LostError` with the type and the reason. Who is lost and why is decided in `pickling.py` and `snapshot.py`.
"""

from typing import Any, NoReturn

__all__ = ["Lost", "LostError", "reason"]


class LostError(RuntimeError):
    """A value was used that could not be saved or restored; the message names its type and the reason."""


class Lost:
    """Stands where a value was. `repr` works, everything else raises.

    Args:
        kind: type of the value.
        why: why it could not be saved or loaded.
    """

    __slots__ = ("_kind", "_why")

    def __init__(self, kind: str, why: str) -> None:
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_why", why)

    def __repr__(self) -> str:
        return f"<lost {self._kind}: {self._why}>"

    def __reduce__(self) -> tuple[type["Lost"], tuple[str, str]]:
        return Lost, (self._kind, self._why)

    def __getattr__(self, name: str) -> Any:
        # Protocols (copy, inspect, pickle) probe for dunder names and expect AttributeError.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        _raise(self)

    def __setattr__(self, name: str, value: Any) -> None:
        _raise(self)


def reason(lost: Lost) -> tuple[str, str]:
    """Type of the value that was there, and why it is not."""
    return lost._kind, lost._why


def _raise(self: Lost, *_args: Any, **_kwargs: Any) -> NoReturn:
    kind, why = reason(self)
    raise LostError(f"This value (a {kind}) was lost when the session was restored: {why}. Make it again.")


# Operators are looked up on the type, so each needs its own entry there.
USES = """call iter next len bool getitem setitem delitem contains enter exit aiter anext await aenter aexit
    lt le gt ge int float index complex neg pos abs invert bytes
    add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor
    radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand ror rxor"""

for _name in USES.split():
    setattr(Lost, f"__{_name}__", _raise)
