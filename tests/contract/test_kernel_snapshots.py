"""What any kernel keeps: a namespace in a new session is the same namespace, and what is lost has a name."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_agent.repl.kernel import CellPaused, ContextSource

Repl = Any  # of conftest.py
MakeRepl = Callable[..., Awaitable[Repl]]


# Snapshots

MAKE = """
import random, functools
from dataclasses import dataclass, field
def uses_later(): return later
class Counter:
    made = 0
    def __init__(self, name): self.name = name; Counter.made += 1
    def add(self, x): return helper(self.name, x)
    def __eq__(self, other): return type(other) is Counter and other.name == self.name
class Child(Counter):
    def add(self, x): return "+" + super().add(x)
def helper(a, b): return f"{a}:{b}"
@dataclass
class 점:
    x: int
    tags: list = field(default_factory=list)
counter, child, point = Counter("카운터"), Child("c"), 점(3, ["ㄱ"])
def make():
    n = 0
    def up():
        nonlocal n; n += 1; return n
    def get(): return n
    return up, get
up, get = make(); up()
def fact(n): return 1 if n < 2 else n * fact(n - 1)
def outer():
    def inner(n): return 0 if n == 0 else 1 + inner(n - 1)
    return inner
recursive = outer()
array = np.arange(12.0).reshape(3, 4)
alias = array
shared = [1]; pair = (shared, {"s": shared}); cycle = [shared]; cycle.append(cycle)
double = lambda x: x * 2
expr = sympy.Symbol("x")**2 + 1
big = "긴 글 " * 100_000
@functools.lru_cache(maxsize=7)
def cached(x): return x + later
generator = (i for i in range(3))
handle = open("file.txt", "w")
raw = open("file.txt", "rb")
text = open("file.txt")
_private = {1, 2}
partial = functools.partial(helper, b=1)
import json, os.path
errors = [ValueError("나쁨")]
rng = np.random.default_rng(5); rng.random()
batch = llm_batch
import decimal; decimal.getcontext().prec = 7
import sys; sys.path.append("/tmp/added")
"""


async def test_a_namespace_lives_on_in_a_new_session(make_repl: MakeRepl) -> None:
    first = await make_repl(seed=3)
    await first.shown(MAKE)
    taken = await first.snapshot()
    assert {loss["name"] for loss in taken.lost} == {"generator", "handle", "raw", "text"}
    listed = {variable["name"]: variable for variable in taken.variables}
    assert listed["array"]["shape"] == [3, 4]
    assert listed["generator"]["lost"]
    assert listed["big"]["size_bytes"] > 400_000
    assert all(len(variable["preview"]) <= 120 for variable in taken.variables)
    assert not {"context", "task", "llm_batch", "np"} & set(listed)

    checks = """
later = 40
def helper(a, b="?"): return f"new {a}:{b}"
print(uses_later(), counter.add(1), child.add(2), Counter.made, isinstance(child, Counter), end=" ")
print(point, point == 점(3, ["ㄱ"]))
print(up(), get(), fact(5), recursive(4), alias is array, array.sum(), double(4), expr.subs("x", 3))
print(big == "긴 글 " * 100_000)
array[0, 0] = 100
print(alias[0, 0], pair[0] is pair[1]["s"] is shared, cycle[1] is cycle, _private)
print(json.dumps("a"), os.path.basename("/a/b"))
print(cached(2), cached.cache_info().maxsize, partial("z"), repr(errors[0]), batch is llm_batch)
print(decimal.getcontext().prec)
print("/tmp/added" in sys.path, random.random(), np.random.rand(), rng.random())
"""
    second = await make_repl(taken, fresh_answer=False)
    output = await second.shown(checks)
    assert output == await first.shown(checks)
    assert output.startswith(
        "40 new 카운터:1 +new c:2 2 True 점(x=3, tags=['ㄱ']) True\n2 2 120 4 True 66.0 8 10\nTrue\n100.0 True True"
    )
    error = await second.failed("next(generator)")
    assert "This value (a generator) was lost" in error
    assert "lost" in await second.failed("handle.write('x')")
    assert "lost" in await second.failed("uses_later() + generator")
    again = await second.restored()
    assert await again.shown("up(), double(3), generator") == (
        "(3, 6, <lost generator: it lives only in the process that made it>)\n"
    )


async def test_start_names_what_did_not_come_back(repl: Repl) -> None:
    await repl.done("g = (i for i in [])")
    second = await repl.restored()
    assert [(loss["name"], loss["type"]) for loss in second.lost] == [("g", "generator")]


async def test_what_pickles_but_does_not_load_costs_its_own_variable(make_repl: MakeRepl, repl: Repl) -> None:
    code = """
class Two:
    def __init__(self, a, b): self.a = a
    def __reduce__(self): return Two, (1,)
class Bomb:
    def __reduce__(self): return exec, ("import os; os._exit(7)",)
class Sneaky:
    def __reduce__(self): raise ValueError("안 됨")
before, bad, bomb, holds, after = [1], Two(1, 2), Bomb(), [Sneaky()], [2]
later = [before, after]
"""
    await repl.shown(code)
    taken = await repl.snapshot()
    why = {loss["name"]: loss["why"] for loss in taken.lost}
    assert set(why) == {"bad", "bomb", "holds"}
    assert "TypeError" in why["bad"]
    assert "kills the process" in why["bomb"]
    assert "안 됨" in why["holds"]
    second = await repl.restored()
    assert await second.shown("before, after, later[0] is before, later[1] is after") == "([1], [2], True, True)\n"
    assert "was lost when the session was restored" in await second.failed("bad.a")


async def test_long_chains_survive(make_repl: MakeRepl, repl: Repl) -> None:
    length = 1500
    code = (
        f"length = {length}"
        + """
class Node:
    def __init__(self, n): self.n = n
head = None
for i in range(length):
    node = Node(head); head = node
too_deep = []
for i in range(200_000): too_deep = [too_deep]
ok = 1
"""
    )
    await repl.shown(code)
    taken = await repl.snapshot()
    assert [loss["name"] for loss in taken.lost] == ["too_deep"]
    second = await repl.restored()
    assert await second.shown("n, at = 0, head\nwhile at: n, at = n + 1, at.n\nn, ok") == f"({length}, 1)\n"


async def test_context_is_no_part_of_a_snapshot_unless_changed(make_repl: MakeRepl, tmp_path: Path) -> None:
    path = tmp_path / "files"
    path.write_bytes(b"a" * 3_000_000 + b"b" * 2_000_000)
    source = ContextSource("files", path, (("a", 0, 3_000_000), ("b", 3_000_000, 2_000_000)))
    repl = await make_repl(context=source)
    await repl.done("doc = context['a']\nwhole = [context]\nimport random\nnoise = random.randbytes(100)")
    assert (await repl.snapshot()).size < 20_000
    second = await repl.restored(context=source)
    assert await second.shown("doc is context['a'], whole[0] is context, len(doc)") == "(True, True, 3000000)\n"
    await second.done("context['c'] = '새로운'; del context['b']")
    taken = await second.snapshot()
    assert taken.size < 20_000
    assert "context" in {variable["name"] for variable in taken.variables}
    third = await second.restored(context=source)
    assert await third.shown("list(context), context['a'] is doc, whole[0] is context") == "(['a', 'c'], True, True)\n"


async def test_a_new_context_wins_over_the_old_ones_aliases(make_repl: MakeRepl, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("옛 " * 2000)
    new.write_text("새 " * 2000)
    repl = await make_repl(context=ContextSource("text", old))
    await repl.done("alias = context\npart = context[:2]\ntask = 'mine'")
    second = await repl.restored(context=ContextSource("text", new), fresh_answer=True, task="둘째 질문")
    assert await second.shown("context[:2], part, task, answer['ready']") == "('새 ', '옛 ', '둘째 질문', False)\n"
    assert "it belonged to an earlier context" in await second.failed("alias.upper()")


async def test_an_edited_history_goes_on_growing(repl: Repl) -> None:
    await repl.done("history[0]['note'] = '메모'", history=[{"turn": 1}])
    second = await repl.restored(history=[{"turn": 1}, {"turn": 2}])
    await second.done("pass", history=[{"turn": 3}])
    assert await second.shown("history") == "[{'turn': 1, 'note': '메모'}, {'turn': 2}, {'turn': 3}]\n"


async def test_rebound_and_deleted_host_names_stay_so(make_repl: MakeRepl, repl: Repl) -> None:
    await repl.done("context = 'mine'\nnp = 5\ndel messages\nhistory.append('note')\nanswer['content'] = '부분'")
    second = await repl.restored()
    assert await second.shown("context, np, 'messages' in globals(), history, answer['content']") == (
        "('mine', 5, False, ['note'], '부분')\n"
    )


async def test_tracebacks_know_the_cells_of_before_a_restore(make_repl: MakeRepl, repl: Repl) -> None:
    await repl.done("def broken():\n    return 1 / 0  # 여기")
    second = await repl.restored()
    error = await second.failed("broken()")
    assert 'File "<cell 2>", line 1' in error
    assert "return 1 / 0  # 여기" in error


async def test_a_snapshot_of_many_megabytes(make_repl: MakeRepl, repl: Repl) -> None:
    await repl.done("data = np.random.default_rng(0).bytes(90_000_000)\nimport hashlib")
    digest = await repl.shown("hashlib.sha256(data).hexdigest()")
    second = await repl.restored()
    assert await second.shown("hashlib.sha256(data).hexdigest()") == digest


async def test_sub_calls_work_after_a_restore(make_repl: MakeRepl, repl: Repl) -> None:
    await repl.done("def ask(x): return llm_batch([x])[0]\nfrom functools import partial\nq = partial(llm, model='m')")
    second = await repl.restored()
    paused = await second.execute("print(ask('a'))\nprint(q('b'))")
    assert isinstance(paused, CellPaused)
    paused = await second.answer({paused.requests[0].id: [{"text": "첫"}]})
    assert isinstance(paused, CellPaused)
    assert paused.requests[0].calls == ({"prompt": "b", "model": "m"},)


# Cost follows change


async def test_a_snapshot_brings_what_changed(make_repl: MakeRepl, repl: Repl) -> None:
    code = """
import random
text, data, array = "글" * 1_000_000, random.randbytes(3_000_000), np.random.default_rng(0).random(1_000_000)
half, rows = array[::2], [{"id": i, "name": f"n{i}"} for i in range(10_000)]
count = 0
"""
    await repl.shown(code)
    assert (await repl.snapshot()).size > 11_000_000
    assert (await repl.snapshot()).size < 10_000
    session = repl
    for _ in range(2):
        session = await session.restored()
        await session.done("count += 1; array[count * 1000] = -1")
        assert (await session.snapshot()).size < 1_100_000
        await session.done("rows[5000]['name'] = '새 이름'; rows.append({}); new = lambda: count")
        assert (await session.snapshot()).size < 60_000
    again = await session.restored()
    assert await again.shown("count, array[1000], half[500], rows[5000], rows[-1], new(), half.base is array") == (
        "(2, np.float64(-1.0), np.float64(-1.0), {'id': 5000, 'name': '새 이름'}, {}, 2, True)\n"
    )


async def test_sources_of_many_cells_are_not_written_each_turn(repl: Repl) -> None:
    for turn in range(40):
        await repl.done(f"# {'주석 ' * 500}\nx = {turn}")
    sizes = []
    for turn in range(10):
        await repl.done(f"# {'주석 ' * 500}\nx = {turn}")
        sizes.append((await repl.snapshot()).size)
    assert max(sizes[1:]) < 3_000


async def test_a_leaf_that_cannot_be_read_ends_the_session_by_its_own_error(make_repl: MakeRepl, repl: Repl) -> None:
    await repl.done("array = np.random.default_rng(0).random(1_000_000)")
    taken = await repl.snapshot()
    keys = list(taken.new)
    for key in (keys[0], keys[-1]):
        del repl.leaves[key]
        with pytest.raises(KeyError, match=key):
            await make_repl(taken, fresh_answer=False)
        repl.leaves |= taken.new
