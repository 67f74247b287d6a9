"""The functions that a cell calls: `llm_batch` and its relatives, and the host's own functions.

They check what the cell gave, so that a mistake is an error in the cell with a message that says what to do, and hand
plain data to the host. Models, budgets and tools are not known here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rlm_agent.repl.plain import problem
from rlm_agent.repl.results import LLMResult

__all__ = ["ALIASES", "Ask", "BudgetExceeded", "host_function", "sub_call_functions"]

Ask = Callable[[str, Mapping[str, Any]], Any]

ALIASES = {
    "llm_query": "llm",
    "llm_query_batched": "llm_batch",
    "rlm_query": "rlm",
    "rlm_query_batched": "rlm_batch",
    "SHOW_VARS": "show_vars",
}


class BudgetExceeded(RuntimeError):
    """The host refused a call because it does not fit what is left of the budget."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a str")
    return value


def _names(value: Any) -> list[str]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError('a list of tool names, as ["web_search"]')
    return [_text(name) for name in value]


def _schema(value: Any) -> dict[str, Any]:
    if isinstance(value, type) and hasattr(value, "model_json_schema"):
        value = value.model_json_schema()
    if not isinstance(value, dict):
        raise TypeError("a JSON schema (dict) or a pydantic model class")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError("an int of 1 or more")
    return int(value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise TypeError("a number of seconds above 0")
    return float(value)


OPTIONS: dict[str, Callable[[Any], Any]] = {
    "model": _text,
    "tools": _names,
    "schema": _schema,
    "system": _text,
    "max_turns": _count,
    "timeout": _seconds,
}


def _slot(
    function: str, prompt: Any, options: Mapping[str, Any], contexts: "_Contexts | None" = None
) -> dict[str, Any]:
    """One call as plain data: options of the batch, overruled by those of the slot.

    Args:
        contexts: takes the call's context, where a call may have one.
    """
    given = dict(prompt) if isinstance(prompt, Mapping) else {"prompt": prompt}
    if not isinstance(given.get("prompt"), str):
        what = type(given["prompt"]).__name__ if "prompt" in given else "a dict without one"
        raise TypeError(f'{function}: each prompt is a str or a dict with a str under "prompt", not {what}.')
    call = {"prompt": str(given.pop("prompt"))}
    if contexts is not None:
        call |= contexts.named(function, given.pop("context", options.get("context")))
    known = list(OPTIONS) if contexts is None else [*OPTIONS, "context"]
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"{function}: unknown key {unknown[0]!r} in a prompt; it takes prompt, {', '.join(known)}.")
    merged = {**options, **{key: value for key, value in given.items() if value is not None}}
    for name, check in OPTIONS.items():
        if merged.get(name) is not None:
            call[name] = _checked(function, name, merged[name], check)
    return call


class _Contexts:
    """The contexts of one request: each value once, and by its place where it is this REPL's own large input."""

    def __init__(self, own: Callable[[], Any]) -> None:
        self.values: list[Any] = []
        self._own = own()
        self._places: dict[int, int] = {}

    def named(self, function: str, value: Any) -> dict[str, Any]:
        """What the call says of its context."""
        if value is None:
            return {}
        if value is self._own:
            return {"same_context": True}
        if not isinstance(value, str | list | tuple | dict):
            raise TypeError(f"{function}: context takes a str, list or dict, not {type(value).__name__}.")
        place = self._places.setdefault(id(value), len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return {"context": place}


def _checked(function: str, name: str, value: Any, check: Callable[[Any], Any]) -> Any:
    try:
        return check(value)
    except TypeError as error:
        raise TypeError(f"{function}: {name} takes {error}, not {type(value).__name__} {value!r:.60}.") from None


def _slots(
    function: str, one: str, prompts: Any, options: Mapping[str, Any], contexts: _Contexts | None = None
) -> list[dict[str, Any]]:
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Iterable):
        raise TypeError(
            f"{function} takes a list of prompts, not {type(prompts).__name__}; "
            f"give {function}([prompt, ...]), or {one}(prompt) for a single one."
        )
    return [_slot(function, prompt, options, contexts) for prompt in prompts]


def _asked(ask: Ask, kind: str, body: Mapping[str, Any], what: str) -> Any:
    try:
        if why := problem(body):
            raise TypeError(why)
        reply = ask(kind, body)
    except (TypeError, ValueError, OverflowError) as error:
        plain = "None, bool, int of 64 bits, float, str, bytes, list, dict"
        raise TypeError(f"{what}: only plain data reaches the host ({plain}): {error}") from None
    if isinstance(reply, Mapping) and "refused" in reply:
        raise BudgetExceeded(str(reply["refused"]))
    return reply


def _run(ask: Ask, kind: str, calls: list[dict[str, Any]], what: str, contexts: Sequence[Any] = ()) -> list[LLMResult]:
    if not calls:
        return []
    body = {"calls": calls, "contexts": list(contexts)} if kind == "rlm" else {"calls": calls}
    replies = _asked(ask, kind, body, what)
    return [LLMResult.from_reply(reply) for reply in replies]


def sub_call_functions(ask: Ask, own: Callable[[], Any] = lambda: None) -> dict[str, Callable[..., Any]]:
    """`llm_batch`, `llm`, `rlm_batch` and `rlm`.

    Args:
        ask: how they reach the host.
        own: gives this REPL's large input, None where the cell changed it.
    """

    def llm_batch(
        prompts: list[Any],
        *,
        model: str | None = None,
        tools: list[str] | None = None,
        schema: Any = None,
        system: str | None = None,
        max_turns: int | None = None,
        timeout: float | None = None,
    ) -> list[LLMResult]:
        """Asks a sub-agent for each prompt, all in parallel. Results are in order; a failed one has ok=False.

        A prompt is a str or a dict with "prompt" and any of the options, which then hold for that prompt only.
        """
        options = _options(model, tools, schema, system, max_turns, timeout)
        return _run(ask, "llm", _slots("llm_batch", "llm", prompts, options), "llm_batch")

    def llm(prompt: Any, **options: Any) -> LLMResult:
        """Asks one sub-agent; options as those of llm_batch."""
        return _run(ask, "llm", [_slot("llm", prompt, _known("llm", options))], "llm")[0]

    def rlm_batch(prompts: list[Any], context: Any = None, **options: Any) -> list[LLMResult]:
        """Asks a child with its own REPL for each prompt. A dict may hold "context" of its own."""
        given, contexts = {**_known("rlm_batch", options), "context": context}, _Contexts(own)
        slots = _slots("rlm_batch", "rlm", prompts, given, contexts)
        return _run(ask, "rlm", slots, "rlm_batch", contexts.values)

    def rlm(prompt: Any, context: Any = None, **options: Any) -> LLMResult:
        """Asks a child with its own REPL, in which `context` is bound."""
        given, contexts = {**_known("rlm", options), "context": context}, _Contexts(own)
        slot = _slot("rlm", prompt, given, contexts)
        return _run(ask, "rlm", [slot], "rlm", contexts.values)[0]

    return {"llm_batch": llm_batch, "llm": llm, "rlm_batch": rlm_batch, "rlm": rlm}


def _options(*values: Any) -> dict[str, Any]:
    return dict(zip(OPTIONS, values, strict=True))


def _known(function: str, options: dict[str, Any]) -> dict[str, Any]:
    if unknown := [key for key in options if key not in OPTIONS]:
        raise TypeError(f"{function}: unknown option {unknown[0]!r}; it takes {', '.join(OPTIONS)}.")
    return options


def host_function(name: str, ask: Ask) -> Callable[..., Any]:
    """A function of the host's as the cell sees it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        reply = _asked(ask, "function", {"name": name, "args": args, "kwargs": kwargs}, name)
        if not reply.get("ok"):
            raise RuntimeError(f"{name} failed: {reply.get('error')}")
        return reply.get("value")

    call.__name__ = call.__qualname__ = name
    call.__doc__ = "A function of the host. Arguments and result are plain data."
    return call
