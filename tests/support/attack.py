"""Attack: one hostile cell, what it is after, and whether it is real.

The body of each attack is a plain function in `attacks/*.py`; its source becomes the code of a cell, after the source
of `attacks/prelude.py`, which holds what every attacker has: raw system calls and knowledge of the scene.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ATTACKS", "Attack", "Breach", "attack"]

Breach = Literal["read", "written", "metadata", "contact", "harm", "left", "held"]
"""What the judge saw: a canary's content came out; files changed; modes, times, owners or attributes changed; a
listener was reached; a process was ended or altered; a process outlived its session; a process of the session held
what none was given (a namespace, a ring, a tracing descriptor). None is the cell's own word: what it says counts only
where it holds a canary, which no attacker is told."""

FAMILIES = ("files", "metadata", "kernel", "network", "processes", "state")


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile cell.

    Attributes:
        code: of the cell.
        breach: what its success is.
        mechanism: what of the kernel's or the host's it uses; others may use the same on something else.
        by: layers of the sandbox each of which stops it, and those that it needs do not without it.
        succeeds_when_off: "" for every user, "root" for root only.
        not_real: why it does not succeed even without a sandbox; "" where it does.
        host_dies: the host is killed before the judge looks.
        holds: of a breach "held" or "harm", what the judge says of it.
    """

    name: str
    family: str
    code: str
    breach: Breach
    mechanism: str
    by: tuple[str, ...] = ()
    succeeds_when_off: Literal["", "root"] = ""
    not_real: str = ""
    host_dies: bool = False
    holds: str = ""


ATTACKS: dict[str, Attack] = {}


def attack(
    breach: Breach, mechanism: str, *, by: str = "", **options: Any
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Registers a function as an attack; see `Attack` for the options. Layers in `by` are parted by blanks."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        name, family = function.__name__, function.__module__.rpartition(".")[2]
        assert name not in ATTACKS, name
        code = f"{_imports(function)}\n{_body(function)}\n{name}()\n"
        ATTACKS[name] = Attack(name, family, code, breach, mechanism, tuple(by.split()), **options)
        return function

    return register


def _imports(function: Callable[[], None]) -> str:
    """What its module imports from the standard library."""
    module = inspect.getmodule(function)
    assert module is not None
    tree = ast.parse(inspect.getsource(module))
    return "\n".join(ast.unparse(node) for node in tree.body if isinstance(node, ast.Import))


def _body(function: Callable[[], None]) -> str:
    """The source without its decorators."""
    source = textwrap.dedent(inspect.getsource(function))
    (node,) = ast.parse(source).body
    segment = ast.get_source_segment(source, node)
    assert segment is not None
    return segment


def catalogue() -> Iterator[Attack]:
    """All attacks, by family."""
    for family in FAMILIES:
        importlib.import_module(f"attacks.{family}")
    return iter(ATTACKS.values())
