"""Namespace: the one set of variables of a session, and which of its names the host bound.

It is the `__dict__` of the real `__main__` module, so that classes, dataclasses and pickle work as in any program.
Invariant: a name that the host bound is no variable until the cell binds it to something else or changes it in place.
"""

import builtins
import json
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy
import scipy
import sympy

from rlm_agent.repl import subcalls
from rlm_agent.repl.context import Context
from rlm_agent.repl.lost import Lost
from rlm_agent.repl.variables import Table, table
from rlm_agent.repl.watched import Watched

__all__ = ["Namespace"]

MODULE_NAMES = frozenset(vars(types.ModuleType("__main__"))) | {"__builtins__"}
# What is told anew with every question, so that an old value must not hide it.
PER_QUESTION = ("task", "messages", "history")


class Namespace:
    """The variables of a session.

    Args:
        ask: how functions reach the host.
    """

    def __init__(self, ask: subcalls.Ask) -> None:
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.globals: dict[str, Any] = module.__dict__
        self.globals["__builtins__"] = builtins
        self._ask = ask
        self._bound: dict[str, Any] = {}
        self._watched: dict[str, Watched] = {}
        self._context = Context.nothing()
        self._fresh = True

    def bind(self, given: Mapping[str, Any], context: Context) -> None:
        """Binds what the host gives.

        Args:
            given: the plain fields of `Bindings`.
            context: the large input.
        """
        self._context, self._fresh = context, given["fresh_answer"]
        self._bound = {
            "context": context.value,
            "task": given["task"],
            "messages": given["messages"],
            "history": given["history"],
            "show_vars": self._show_vars(),
            "np": numpy,
            "numpy": numpy,
            "scipy": scipy,
            "sympy": sympy,
        }
        if given["sub_calls"]:
            self._bound |= subcalls.sub_call_functions(self._ask, self._own_context)
        self._bound |= {alias: self._bound[name] for alias, name in subcalls.ALIASES.items() if name in self._bound}
        self._bound |= {name: subcalls.host_function(name, self._ask) for name in given["functions"]}
        for source in given["code"]:
            self._bound |= _functions_of(source)
        self._watched = {name: Watched(self._bound[name]) for name in ("messages", "history")}
        self.globals.update(self._bound)

    def _own_context(self) -> Any:
        """The large input, None where the cell changed it."""
        return None if self._context.changed() else self._context.value

    def _show_vars(self) -> Callable[[], Table]:
        def show_vars() -> Table:
            """The variables made so far: name, type, size, value."""
            return table(self.variables())

        return show_vars

    def begin(self, history: list[Any], unready: bool) -> None:
        """Before a cell: new entries of `history`, and `ready` off where a complaint was read."""
        self._watched["history"].extend(history)
        answer = self.globals.get("answer")
        if unready and isinstance(answer, dict):
            dict.__setitem__(answer, "ready", False)

    def renew_answer(self) -> None:
        """A new question, or no answer at all: an empty one."""
        if self._fresh or "answer" not in self.globals:
            self.globals["answer"] = {"content": "", "ready": False}

    def answer(self) -> dict[str, Any]:
        """{"content": JSON text, "ready": bool}; content that JSON cannot hold becomes its `str`.

        What a subclass of dict makes of its items is not asked: it is the cell's code.
        """
        answer = self.globals.get("answer", {})
        content = dict.get(answer, "content", "") if isinstance(answer, dict) else answer
        ready = dict.get(answer, "ready") if isinstance(answer, dict) else False
        return {"content": _json_text(content), "ready": isinstance(ready, bool | numpy.bool_) and bool(ready)}

    # What a snapshot holds.

    def _changed(self, name: str) -> bool:
        """Whether the cell changed a host-bound value in place."""
        if name == "context":
            return self._context.changed()
        return name in self._watched and self._watched[name].changed()

    def variables(self) -> dict[str, Any]:
        """All that the cells made: new names, and host-bound names with a value of their own."""
        missing = object()
        return {
            name: value
            for name, value in self.globals.items()
            if name not in MODULE_NAMES and (value is not self._bound.get(name, missing) or self._changed(name))
        }

    def references(self) -> dict[str, Any]:
        """Place -> object that a snapshot names instead of holding it."""
        places = {"namespace": self.globals, **self._context.references()}
        for name, value in self._bound.items():
            if name not in ("context", "task") and not self._changed(name):
                places[f"bound/{name}"] = value
        return places | _imported(self.globals)

    def resolve(self, place: str, fingerprint: str) -> Any:
        """The object at a place, in this session; a `Lost` where there is none.

        Args:
            place: a key of `references`.
            fingerprint: of the input that `context/...` places were in.
        """
        if place == "namespace":
            return self.globals
        if place.startswith("context"):
            if fingerprint != self._context.fingerprint:
                return Lost("part of context", "it belonged to an earlier context, which is not bound any more")
            return self._context.resolve(place)
        if place.startswith("module/"):
            module, name = place.removeprefix("module/").split("/")
            return getattr(sys.modules[module], name, Lost("object", f"{module} has no {name} here"))
        name = place.removeprefix("bound/")
        return self._bound[name] if name in self._bound else Lost("function", f"{name} is not bound in this session")

    def extra(self) -> dict[str, Any]:
        """What a snapshot keeps beside the variables."""
        deleted = [name for name in self._bound if name not in self.globals]
        history = self._watched["history"]
        edited = self.globals.get("history") is history.entries and history.changed()
        return {
            "fingerprint": self._context.fingerprint,
            "deleted": deleted,
            "history": history.count if edited else None,
        }

    def settle(self, extra: Mapping[str, Any]) -> None:
        """After a restore: the host's word where it is newer, the cell's where it is not."""
        stale = set(PER_QUESTION if self._fresh else ())
        if extra["fingerprint"] != self._context.fingerprint:
            stale.add("context")
        for name in stale:
            self.globals[name] = self._bound[name]
        for name in extra["deleted"]:
            if name not in stale:
                self.globals.pop(name, None)
        if extra["history"] is not None and "history" not in stale:
            self._adopt_history(extra["history"])

    def _adopt_history(self, count: int) -> None:
        """The list that the cell edited stays the one that grows, as in a session that was never restored."""
        edited, watched = self.globals["history"], self._watched["history"]
        if isinstance(edited, list):
            edited.extend(watched.entries[count:])
            self._bound["history"] = watched.entries = edited


def _imported(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What `from sympy import *` binds: single objects of their modules, some of which pickle to what does not load."""
    by_name = (type, types.FunctionType, types.ModuleType, int, float, str, type(None))
    return {
        f"module/{module}/{name}": value
        for name, value in variables.items()
        if not isinstance(value, by_name)
        for module in ("numpy", "scipy", "sympy")
        if vars(sys.modules[module]).get(name) is value
    }


def _json_text(content: Any) -> str:
    try:
        if _has_only_text_keys(content):
            text = json.dumps(content, allow_nan=False, ensure_ascii=False)
            return text.encode("utf-8", "replace").decode()
    except (TypeError, ValueError, RecursionError, OverflowError):
        pass
    try:
        text = str(content)
    except Exception as error:  # noqa: BLE001  # a __str__ is anybody's code
        text = f"<{type(content).__name__}: its str raised {type(error).__name__}: {error!s:.200}>"
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False)


def _has_only_text_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_has_only_text_keys, value.values()))
    return all(map(_has_only_text_keys, value)) if isinstance(value, list | tuple) else True


def _functions_of(source: str) -> dict[str, Any]:
    """The public functions that a module of the host's defines. It is run here, and is in no `sys.modules`."""
    module = types.ModuleType("repl_code")
    exec(compile(source, "<repl code>", "exec"), module.__dict__)
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, types.FunctionType) and value.__globals__ is module.__dict__ and not name.startswith("_")
    }
