"""StandIn: what a worker puts in the place of a function that is written in C.

A plain Python function there would become a method where a class has it as an attribute, as `logging.Formatter` has
its `converter`, and would be pickled by its own module's name. Invariant: a snapshot names what stands in by the name
of what it stands for, so that any worker loads its own.
"""

import ctypes
import gc
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["ClassStandIn", "StandIn"]


class StandIn:
    """A callable that passes for `module.name`.

    Args:
        call: what it does.
    """

    def __init__(self, module: ModuleType, name: str, call: Callable[..., Any]) -> None:
        original = getattr(module, name)
        self.__module__, self.__name__, self.__qualname__ = module.__name__, name, name
        self.__doc__ = original.__doc__
        self._shown = repr(original)
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return self._shown

    def __reduce__(self) -> str:
        return self.__name__

    @classmethod
    def install(cls, module: ModuleType, name: str, call: Callable[..., Any]) -> None:
        """Replaces a function of a module, where this system has it."""
        if hasattr(module, name):
            setattr(module, name, cls(module, name, call))


class ClassStandIn:
    """A class method that passes for that of a class which is written in C.

    Args:
        call: what it does; called with the class first.
    """

    def __init__(self, owner: type, name: str, call: Callable[..., Any]) -> None:
        original = owner.__dict__[name]
        self.__name__, self.__qualname__, self.__doc__ = name, original.__qualname__, original.__doc__
        self.call = call

    def __get__(self, instance: object, owner: type | None = None) -> "_Bound":
        return _Bound(self, owner or type(instance))

    @classmethod
    def install(cls, owner: type, name: str, call: Callable[..., Any]) -> None:
        """Replaces a method of the class itself: a subclass in its place would be another type to everybody else."""
        # It takes no assignment; its dict is behind the proxy.
        (methods,) = gc.get_referents(owner.__dict__)
        methods[name] = cls(owner, name, call)
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))


class _Bound:
    """The method of one class."""

    def __init__(self, method: ClassStandIn, owner: type) -> None:
        self.__self__, self.__func__ = owner, method
        self.__name__, self.__qualname__, self.__doc__ = method.__name__, method.__qualname__, method.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__.call(self.__self__, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<built-in method {self.__name__} of type object>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bound) and (self.__self__, self.__func__) == (other.__self__, other.__func__)

    def __hash__(self) -> int:
        return hash((self.__self__, self.__func__))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__name__)
