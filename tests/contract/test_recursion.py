"""`rlm` and `rlm_batch`: children with REPLs of their own, on their parent's account, resumed as exactly as it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from rlm_agent import Budget, Corpus, Home, Limits, create_rlm_agent, open_run, runs
from rlm_agent.testing import ScriptedModel

THREAD = {"configurable": {"thread_id": "top"}}
ASKED = {"messages": [("user", "go")]}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "own") as opened:
        yield opened


def cell(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def done(value: str) -> str:
    return cell(f'answer["content"] = {value}', 'answer["ready"] = True')


def is_root(messages: list[Any]) -> bool:
    """Whether a request is that of a child's root, not of a sub-agent."""
    return isinstance(messages[0], SystemMessage) and "by writing Python" in messages[0].content


def task_of(messages: list[Any]) -> str:
    return str(next(m.content for m in messages if isinstance(m, HumanMessage)))


def children(*turns: str) -> Any:
    """Roots of children write these cells, a turn each; sub-agents answer in capitals."""

    def reply(messages: list[Any]) -> str:
        if not is_root(messages):
            return str(messages[-1].content).upper()
        return turns[sum(1 for m in messages if m.type == "ai")]

    return reply


def run(code: str, sub: Any, **options: Any) -> dict[str, Any]:
    """One cell of the top's, whose `out` is the answer's content."""
    options = {"max_depth": 2, **options}
    root = ScriptedModel(replies=[cell(code, 'answer["content"] = out', 'answer["ready"] = True')])
    model = sub if isinstance(sub, ScriptedModel) else ScriptedModel(replies=sub)
    agent = create_rlm_agent(root, sub_model=model, **options)
    result: dict[str, Any] = agent.invoke(ASKED, THREAD)
    return result


def test_a_child_answers_from_its_own_repl() -> None:
    code = 'r = rlm("How long?", context="안녕 " * 1000)\nout = [r, r.ok, r.error, r.usage["calls"], r.model]'
    out = run(code, ScriptedModel(replies=children(done("str(len(context))"))))
    assert out["rlm"]["content"] == ["3000", True, None, 1, "scripted"]
    assert out["rlm"]["usage"]["sub"]["calls"] == 1


def test_names_of_parent_and_child_are_apart() -> None:
    code = 'secret = 1\nout = [str(rlm("a")), str(rlm("b")), secret]'
    see = done('[name for name in ("secret", "mine") if name in globals()] or (globals().update(mine=1) or "clean")')
    assert run(code, children(see))["rlm"]["content"] == ["clean", "clean", 1]


def test_a_child_takes_turns_and_asks_sub_agents() -> None:
    first = cell("parts = llm_batch([context[:3], context[3:]])", "print(parts)")
    code = 'out = str(rlm("Shout", context="abcdef"))'
    out = run(code, children(first, done('"+".join(parts)')))
    assert out["rlm"]["content"] == "ABC+DEF"
    assert out["rlm"]["usage"]["root"]["calls"] == 1
    assert out["rlm"]["usage"]["sub"]["calls"] == 4


def test_a_batch_of_children_is_parallel_and_in_order() -> None:
    lock, at_work = threading.Lock(), [0, 0]

    def reply(messages: list[Any]) -> str:
        with lock:
            at_work[0] += 1
            at_work[1] = max(at_work)
        time.sleep(0.3)
        with lock:
            at_work[0] -= 1
        return done("task[::-1]")

    code = 'out = [str(r) for r in rlm_batch([{"prompt": f"p{i}"} for i in range(12)])]'
    assert run(code, reply)["rlm"]["content"] == [f"p{i}"[::-1] for i in range(12)]
    assert 4 <= at_work[1] <= 8


def test_the_whole_context_goes_by_reference(home: Home) -> None:
    text = "한글 text " * 400_000
    code = 'out = [str(r) for r in rlm_batch(["a", "b"], context=context)]'
    handle = Corpus.load(text, home=home)
    root = ScriptedModel(replies=[cell(code, 'answer["content"] = out', 'answer["ready"] = True')])
    sub = ScriptedModel(replies=children(done("str(len(context))")))
    agent = create_rlm_agent(root, sub_model=sub, home=home, checkpointer=home.checkpointer, max_depth=2)
    out = agent.invoke({**ASKED, "context": handle}, THREAD)
    assert out["rlm"]["content"] == [str(len(text))] * 2
    assert len(list((home.path / "corpora").glob("*/data"))) == 1
    asked = [view.question.context for view in runs("top", home=home)]
    assert [context["digest"] for context in asked] == [handle["digest"]] * 3


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        ("'/etc/hostname'", "'/etc/hostname'"),
        ("'http://127.0.0.1/'", "'http://127.0.0.1/'"),
        ("{'a.txt': 'A', '나': [1, None]}", "{'a.txt': 'A', '나': [1, None]}"),
        ("[1, 2.5, 'x']", "[1, 2.5, 'x']"),
        ("None", "None"),
    ],
)
def test_a_context_is_a_value_never_a_source(context: str, shown: str) -> None:
    assert run(f'out = str(rlm("q", context={context}))', children(done("repr(context)")))["rlm"]["content"] == shown


def test_a_context_that_was_changed_is_sent_as_it_is() -> None:
    code = 'context.append(3)\nout = str(rlm("q", context=context))'
    root = ScriptedModel(replies=[cell(code, 'answer["content"] = out', 'answer["ready"] = True')])
    agent = create_rlm_agent(root, sub_model=ScriptedModel(replies=children(done("repr(context)"))), max_depth=2)
    assert agent.invoke({**ASKED, "context": [1, 2]}, THREAD)["rlm"]["content"] == "[1, 2, 3]"


def test_a_context_that_can_be_none_says_so() -> None:
    code = """
out = []
for value in (5, b"bytes", {"a": {1, 2}}, {"a": b"x"}, {1: "x"}):
    try:
        r = rlm("q", context=value)
        out.append([r.ok, r.error])
    except TypeError as error:
        out.append(str(error))
"""
    number, raw, a_set, inner, keyed = run(code, children(done("1")))["rlm"]["content"]
    assert "context takes a str, list or dict, not int" in number
    assert "not bytes" in raw
    assert "only plain data" in a_set
    assert inner[0] is False
    assert "no plain JSON" in inner[1]
    assert "only plain data" in keyed


def test_contexts_of_children_are_bounded_on_the_hosts_disk(home: Home) -> None:
    code = """
out = [[r.ok, r.error] for r in (rlm("q", context=letter * 700_000) for letter in "abca")]
out.append([rlm("q", context=context).ok, rlm("q").ok])
"""
    root = ScriptedModel(replies=[cell(code, 'answer["content"] = out', 'answer["ready"] = True')])
    sub = ScriptedModel(replies=children(done("1")))
    limits = Limits(disk_mb=1)
    agent = create_rlm_agent(root, sub_model=sub, home=home, max_depth=2, limits=limits)
    a, b, c, again, free = agent.invoke({**ASKED, "context": "short"}, THREAD)["rlm"]["content"]
    assert (a, b, free) == ([True, None], [True, None], [True, True])
    assert c[0] is again[0] is False
    assert "disk_mb=1 MB" in c[1]


def test_options_of_a_child() -> None:
    schema = "{'type': 'object', 'properties': {'n': {'type': 'integer'}}, 'required': ['n']}"
    code = f"""
a = rlm("q", model="big", system="Be brief.", schema={schema})
b = rlm("q", max_turns=2)
c = rlm("q", model="none")
out = [a.data, a.model, b.ok, b.error, str(b), c.ok, c.error]
"""

    def big(messages: list[Any]) -> str:
        assert "Be brief." in messages[0].content
        return done("{'n': 7}")

    endless = children(*[cell('answer["content"] = "so far"')] * 9)
    data, model, ok, error, text, none_ok, none_error = run(
        code, endless, models={"big": ScriptedModel(replies=big, model_name="big-model")}
    )["rlm"]["content"]
    assert (data, model) == ({"n": 7}, "big-model")
    assert (ok, text) == (False, "so far")
    assert error == "the child was stopped by turns after 2 turns; the text is its answer so far"
    assert (none_ok, "known names: big" in none_error) == (False, True)


def test_a_time_limit_leaves_the_answer_so_far() -> None:
    slow = children(cell('answer["content"] = "half"'), cell("import time; time.sleep(30)"))
    code = 'r = rlm("q", timeout=3)\nout = [r.ok, str(r), r.error]'
    ok, text, error = run(code, slow)["rlm"]["content"]
    assert (ok, text) == (False, "half")
    assert "stopped by its time of 3 s after 1 turns" in error


def test_a_model_that_fails_costs_its_slot() -> None:
    def reply(messages: list[Any]) -> Any:
        return ValueError("no such page") if task_of(messages).startswith("bad") else done("'fine'")

    code = 'r = rlm_batch(["x", "bad", "y"])\nout = [[s.ok for s in r], r[1].error]'
    ok, error = run(code, reply, limits=Limits(sub_tries=1))["rlm"]["content"]
    assert ok == [True, False, True]
    assert "no such page" in error


def test_a_child_that_fails_in_the_middle_keeps_its_answer_so_far(home: Home) -> None:
    def reply(messages: list[Any]) -> Any:
        return (
            ValueError("gone")
            if messages[-1].type != "human" or len(messages) > 2
            else cell('answer["content"] = "half"')
        )

    code = 'r = rlm("q")\nout = [r.ok, str(r), r.error, r.usage["calls"]]'
    ok, text, error, calls = run(code, reply, limits=Limits(sub_tries=1), home=home)["rlm"]["content"]
    assert (ok, text, calls, "gone" in error) == (False, "half", 1, True)
    (child,) = [view for view in runs("top", home=home) if view.record.parent]
    assert (child.status, child.question.stopped_by) == ("stopped", "failed")


@pytest.mark.parametrize(("depth", "levels"), [(2, 2), (3, 3)])
def test_down_to_max_depth(depth: int, levels: int) -> None:
    """Each child asks one below it; at the deepest level there is no name to ask with."""
    code = 'out = str(rlm("down"))'
    below = done('"+" + str(rlm("down")) if "rlm" in globals() else "bottom"')
    assert run(code, children(below), max_depth=depth)["rlm"]["content"] == "+" * (levels - 1) + "bottom"


def test_without_depth_a_slot_says_what_is_needed() -> None:
    code = 'r = rlm("q")\nout = [r.ok, r.error]'
    ok, error = run(code, children(done("1")), max_depth=1)["rlm"]["content"]
    assert (ok, "max_depth=2" in error) == (False, True)


@pytest.mark.parametrize(("depth", "told"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_root_is_told_of_children_where_it_has_them(depth: int, told: bool) -> None:
    seen: list[str] = []
    root = ScriptedModel(replies=lambda messages: seen.append(messages[0].content) or done("1"))
    create_rlm_agent(root, max_depth=depth).invoke(ASKED, THREAD)
    assert ("`rlm_batch(prompts, context=None" in seen[0]) is told


def test_one_budget_for_all() -> None:
    """Each child counts as a sub-call, and so does each of its own: what is left is the same wherever it is read."""
    code = 'r = [rlm(name) for name in "abc"]\nout = [[s.ok, str(s)] for s in r]'
    ask = """
try:
    answer["content"] = len(llm_batch([str(i) for i in range(4)]))
except Exception as error:
    answer["content"] = str(error)
answer["ready"] = True"""
    out = run(code, children(cell(ask)), budget=Budget(sub_calls=12))
    first, second, third = out["rlm"]["content"]
    assert (first, second) == ([True, "4"], [True, "4"])
    assert third[0] is True
    assert "this batch needs 4 sub-calls, 1 of 12 are left" in third[1]
    assert out["rlm"]["usage"]["sub"]["calls"] == 3 + 8


def test_a_child_stops_where_the_budget_of_all_ends(home: Home) -> None:
    endless = children(*[cell('answer["content"] = "so far"')] * 40)
    code = 'r = rlm("q")\nout = [r.ok, str(r), r.error]'
    out = run(code, endless, budget=Budget(tokens=12_000), home=home)
    ok, text, error = out["rlm"]["content"]
    assert (ok, text) == (False, "so far")
    assert "the child was stopped by budget" in error
    assert out["rlm"]["usage"]["total"]["input_tokens"] + out["rlm"]["usage"]["total"]["output_tokens"] <= 12_000


def test_children_are_runs_that_can_be_looked_at(home: Home) -> None:
    root = ScriptedModel(replies=[cell('out = rlm("below", context="abc")'), done("str(out)")])
    sub = ScriptedModel(replies=children(cell("mine = context * 2"), done("mine")))
    agent = create_rlm_agent(root, sub_model=sub, home=home, checkpointer=home.checkpointer, max_depth=2)
    assert agent.invoke(ASKED, THREAD)["rlm"]["content"] == "abcabc"
    top, child = sorted(runs("top", home=home), key=lambda view: view.record.created)
    assert open_run("top", home=home).id == top.id
    assert (child.record.parent, child.status, str(child.answer.content)) == (top.id, "answered", "abcabc")
    assert child.turns[0].code == "mine = context * 2"
    assert child.value("mine") == "abcabc"
    assert child.usage["total"]["calls"] == 2
    assert top.usage["total"]["calls"] == 4
    assert len(top.turns) == 2


def test_events_tell_their_depth(home: Home) -> None:
    root = ScriptedModel(replies=[cell('out = rlm("below")'), done("str(out)")])
    sub = ScriptedModel(replies=children(done("'x'")))
    agent = create_rlm_agent(root, sub_model=sub, home=home, checkpointer=home.checkpointer, max_depth=2)
    events = list(agent.stream(ASKED, THREAD, stream_mode="custom"))
    below = [event for event in events if event["depth"] == 1]
    assert [event["type"] for event in below if event["type"].startswith("run.")] == ["run.started", "run.finished"]
    assert {event["run"] for event in below} == {view.id for view in runs("top", home=home) if view.record.parent}
    assert [event["turn"] for event in events if event["type"] == "turn.started" and not event["depth"]] == [1, 2]
