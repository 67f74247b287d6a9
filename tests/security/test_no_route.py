"""The root has no route to a sub-agent's tools, to keys or to what the host is made of: names only, checked there."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from rlm_agent import Budget, Limits, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel


def weather(city: str) -> str:
    """Tells the weather; a-word-that-only-the-tools-description-holds."""
    return f"rain in {city}"


def forbidden(path: str) -> str:
    """A function that nobody gave to this agent."""
    raise AssertionError("it was called")


def run(cell: str, **options: Any) -> Any:
    """What the cell left in `out`."""
    code = f'```python\n{cell}\nanswer["content"] = out\nanswer["ready"] = True\n```'
    sub = options.pop("sub_model", ScriptedModel(replies=lambda messages: messages[-1].content.upper()))
    agent = create_rlm_agent(ScriptedModel(replies=lambda _: code), sub_model=sub, **options)
    result = agent.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "route"}})
    (turn,) = open_run("route").turns[:1]
    assert turn.error is None, turn.error
    return result["rlm"]["content"]


@pytest.mark.parametrize("name", ["weather2", "__import__", "open", "forbidden", "", "weather\0", "../weather", "{x}"])
def test_a_cell_names_no_tool_that_was_not_given(name: str) -> None:
    ok, error = run(f"r = llm('p', tools=[{name!r}])\nout = [r.ok, r.error]", tools=[weather])
    assert ok is False
    assert "no tool is named" in error


@pytest.mark.parametrize("name", ["gpt-5", "openai:gpt-5", "big2", "offline", "rlm_agent.models.chat:chat_model", ""])
def test_a_cell_names_no_model_that_was_not_given(name: str) -> None:
    big = ScriptedModel(replies=lambda _: "big")
    ok, error = run(f"r = llm('p', model={name!r})\nout = [r.ok, r.error]", models={"big": big})
    assert ok is False
    assert "no model is named" in error
    assert big.calls == 0


# What a cell can send that its own functions would not.
FORGE = """
import gc
from rlm_agent.repl.requests import Requests
(requests,) = [thing for thing in gc.get_objects() if isinstance(thing, Requests)]
def forge(kind, **body):
    return requests.ask(kind, body)
"""


@pytest.mark.parametrize("name", ["forbidden", "eval", "given.__globals__", "builtins.open", "llm", "", "giv\0en"])
def test_a_forged_call_of_a_function_that_was_not_given(name: str) -> None:
    def given(x: int) -> int:
        return x

    out = run(
        f"{FORGE}\nout = [forge('function', name={name!r}, args=[1], kwargs={{}}), given(3)]", repl_functions=[given]
    )
    assert out[0]["ok"] is False
    assert "no host function is named" in out[0]["error"]
    assert out[1] == 3


@pytest.mark.parametrize(
    "option", ["api_key", "base_url", "max_depth", "budget", "limits", "concurrency", "effect", "home"]
)
def test_an_option_that_is_none_is_refused_in_its_slot(option: str) -> None:
    out = run(f"{FORGE}\nout = forge('llm', calls=[{{'prompt': 'p', {option!r}: 9}}, {{'prompt': 'q'}}])")
    assert out[0]["ok"] is False
    assert f"unknown option '{option}'" in out[0]["error"]
    assert out[1]["ok"] is True


def test_limits_and_budget_are_not_the_cells_to_change() -> None:
    sub = ScriptedModel(replies=lambda messages: "fine")
    cell = f"""
{FORGE}
import rlm_agent.settings
rlm_agent.settings.Limits = None
object.__setattr__(rlm_agent.settings.Budget(), "sub_calls", 10**9)
answer["budget"] = {{"sub_calls": 10**9}}
history.append({{"turn": 99}})
out = [forge("llm", calls=[{{"prompt": str(i), "max_turns": 10**9, "timeout": 1e18}} for i in range(11)])]
out += [forge("llm", calls=[{{"prompt": str(i)}} for i in range(10)])]
out += [forge("llm", calls=[{{"prompt": "one more"}}])]
"""
    refused, answered, last = run(cell, sub_model=sub, budget=Budget(sub_calls=10), limits=Limits(sub_turns=2))
    assert "10 of 10" in refused["refused"]
    assert [slot["ok"] for slot in answered] == [True] * 10
    assert "refused" in last
    assert sub.calls == 10


def test_a_slot_has_no_more_turns_than_the_limit() -> None:
    def asks_for_ever(messages: list[Any]) -> Any:
        call = {"name": "weather", "args": {"city": str(len(messages))}, "id": str(len(messages))}
        return AIMessage("", tool_calls=[call])

    sub = ScriptedModel(replies=asks_for_ever)
    cell = "out = llm('p', tools=['weather'], max_turns=10**9).ok"
    assert run(cell, sub_model=sub, tools=[weather], limits=Limits(sub_turns=3)) is False
    assert sub.calls <= 3


@pytest.mark.parametrize("timeout", ["1e18", "float('inf')", "10**30"])
def test_a_slot_has_no_more_time_than_the_limit(timeout: str) -> None:
    import time

    def slow(_messages: list[Any]) -> str:
        time.sleep(1.5)
        return "late"

    cell = f"r = llm('p', timeout={timeout})\nout = [r.ok, r.error]"
    ok, error = run(cell, sub_model=ScriptedModel(replies=slow), limits=Limits(sub_seconds=0.2))
    assert ok is False
    assert "0.2" in error


@pytest.mark.parametrize("timeout", ["float('nan')", "-1", "'1'", "True", "[]"])
def test_a_time_that_is_none_is_refused(timeout: str) -> None:
    cell = f"{FORGE}\nout = forge('llm', calls=[{{'prompt': 'p', 'timeout': {timeout}}}])"
    (slot,) = run(cell)
    assert slot["ok"] is False
    assert "timeout takes seconds above 0" in slot["error"]


def test_no_depth_can_be_had_by_asking() -> None:
    cell = f"{FORGE}\nout = forge('rlm', calls=[{{'prompt': 'p', 'context': '/etc/passwd', 'max_depth': 5}}])"
    sub = ScriptedModel(replies=lambda _: "child")
    (slot,) = run(cell, sub_model=sub)
    assert slot["ok"] is False
    assert sub.calls == 0


def test_without_sub_calls_a_forged_one_is_none_either() -> None:
    sub = ScriptedModel(replies=lambda _: "child")
    (slot,) = run(f"{FORGE}\nout = forge('llm', calls=[{{'prompt': 'p'}}])", sub_model=sub, max_depth=0)
    assert slot["ok"] is False
    assert sub.calls == 0


def test_neither_the_root_nor_its_repl_holds_a_tool_or_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAVILY_API_KEY", "sk-" + "canary-of-the-tool")
    cell = """
import gc, json, os, sys
held = [name for name in ("weather", "tools", "models") if name in globals()]
word = "-".join(["a-word-that-only-the-tools", "description-holds"])
texts = [thing for thing in gc.get_objects() if isinstance(thing, (dict, list, tuple))]
found = sum(any(isinstance(x, str) and word in x for x in thing) for thing in texts if len(thing) < 100)
out = [held, found, sorted(k for k in os.environ if "KEY" in k), "langchain_core" in sys.modules]
"""
    code = f'```python\n{cell}\nanswer["content"] = out\nanswer["ready"] = True\n```'
    agent = create_rlm_agent(ScriptedModel(replies=[code]), [weather], sub_model=ScriptedModel(replies=["x"]))
    out = agent.invoke({"messages": [("user", "go")]})
    assert out["rlm"]["content"] == [[], 0, [], False]


def test_a_call_that_does_not_fit_a_functions_annotations_is_not_made() -> None:
    made: list[Any] = []

    def remove(number: int) -> None:
        made.append(number)

    cell = "try:\n    remove('../../etc')\nexcept Exception as error:\n    out = str(error)"
    assert "number: Input should be a valid integer" in run(cell, repl_functions=[remove])
    assert made == []
