"""Trust: which pickled values load again for certain, since loading them runs only code that is known here.

A snapshot of nothing else needs no trial. Invariant: where this says yes, neither code of the cell's (a constructor, a
`__setstate__`, a `__hash__`) nor of a package that is not listed runs at a restore.
"""

import abc
import copyreg
import types
from typing import Any

from rlm_agent.repl.results import LLMResult

__all__ = ["is_plain_class", "is_plain_exception", "is_trusted"]

NAMES = """_collections _functools _operator _random builtins cloudpickle collections copyreg datetime decimal _decimal
    _pydecimal fractions functools itertools numpy operator random re rlm_agent types weakref"""
MODULES = frozenset(NAMES.split())
# What `object.__reduce_ex__` gives for an instance.
NEW_OBJECT = vars(copyreg)["__newobj__"]
# Loading looks some of these up on the new object, before it has any attribute.
HOOKS = ("__getattr__", "__setstate__", "__slots__", "__setattr__")
METACLASSES = (type, abc.ABCMeta)
IMMUTABLE = 1 << 8
"""Py_TPFLAGS_IMMUTABLETYPE: a class that is written in C."""
CALLABLES = (type, types.FunctionType, types.BuiltinFunctionType)


def is_trusted(reduced: tuple[Any, ...]) -> bool:
    """Whether a value reduced to this loads again."""
    make, args = reduced[0], reduced[1]
    if make is getattr or len(reduced) > 6:
        return False
    if make is NEW_OBJECT:
        return args[0] is LLMResult or is_plain_instance(args[0])
    module = getattr(make, "__module__", None)
    return isinstance(make, CALLABLES) and isinstance(module, str) and module.partition(".")[0] in MODULES


def is_plain_instance(kind: Any) -> bool:
    """Whether an instance is made empty and given its attributes, with no code of its class run."""
    if type(kind) not in METACLASSES or any(hook in vars(base) for base in kind.__mro__[:-1] for hook in HOOKS):
        return False
    hashes = kind.__hash__ in (object.__hash__, None)
    return hashes and kind.__new__ is object.__new__ and kind.__getattribute__ is object.__getattribute__


def is_plain_class(kind: Any) -> bool:
    """Whether making this class runs no code but Python's own."""
    foreign = (vars(base) for base in kind.__mro__[:-1] if base.__module__ != "__main__")
    return type(kind) in METACLASSES and not any("__init_subclass__" in names for names in foreign)


def is_plain_exception(kind: Any) -> bool:
    """Whether an exception of this class is rebuilt by Python's own code only."""
    own = [vars(base) for base in kind.__mro__ if not base.__flags__ & IMMUTABLE]
    return not any(hook in names for names in own for hook in (*HOOKS, "__new__", "__hash__", "__getattribute__"))
