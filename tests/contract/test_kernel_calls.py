"""What any kernel owes a cell that asks the host: sub-calls, host functions, threads, refusals, mistakes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rlm_agent.repl.kernel import CellDone, CellPaused
from rlm_agent.settings import Limits

Repl = Any  # of conftest.py
MakeRepl = Callable[..., Awaitable[Repl]]


# Sub-calls


def reply(text: str, **fields: Any) -> dict[str, Any]:
    return {"text": text, "ok": True, "error": None, "data": None, "sources": [], "usage": {}, **fields}


async def test_a_batch_pauses_the_cell(repl: Repl) -> None:
    code = """
before = 1
results = llm_batch(["첫째", {"prompt": "둘째", "model": "큰", "schema": {"type": "object"}}], system="s", timeout=9)
print([str(r) for r in results], [r.ok for r in results], results[1].error, results[0].sources, results[0].data)
results
"""
    paused = await repl.execute(code)
    assert isinstance(paused, CellPaused)
    (request,) = paused.requests
    assert request.kind == "llm"
    assert request.calls == (
        {"prompt": "첫째", "system": "s", "timeout": 9.0},
        {"prompt": "둘째", "model": "큰", "schema": {"type": "object"}, "system": "s", "timeout": 9.0},
    )
    good = reply("답", sources=[{"url": "u"}], data={"a": 1})
    event = await repl.answer({request.id: [good, reply("", ok=False, error="시간 초과")]})
    assert isinstance(event, CellDone)
    assert event.error is None
    first, second = event.output.splitlines()
    assert first == "['답', ''] [True, False] 시간 초과 [{'url': 'u'}] {'a': 1}"
    assert second == "['답', LLMResult('', ok=False, error='시간 초과')]"


async def test_relatives_and_aliases_ask_too(repl: Repl) -> None:
    for code, kind, calls in [
        ("llm('a', model='m')", "llm", [{"prompt": "a", "model": "m"}]),
        ("llm_query('a')", "llm", [{"prompt": "a"}]),
        ("llm_query_batched(x for x in 'ab')", "llm", [{"prompt": "a"}, {"prompt": "b"}]),
        ("rlm('a', ['문맥'])", "rlm", [{"prompt": "a", "context": ["문맥"]}]),
        ("rlm_batch(['a', {'prompt': 'b', 'context': 'd'}], 'c')", "rlm", None),
    ]:
        paused = await repl.execute(code)
        assert isinstance(paused, CellPaused)
        (request,) = paused.requests
        assert request.kind == kind
        if calls is None:
            calls = [{"prompt": "a", "context": "c"}, {"prompt": "b", "context": "d"}]
        assert list(request.calls) == calls
        event = await repl.answer({request.id: [reply("x") for _ in calls]})
        assert isinstance(event, CellDone)
        assert event.error is None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("llm_batch('one')", "TypeError: llm_batch takes a list of prompts, not str; give llm_batch([pro"),
        ("llm_batch([1])", "TypeError: llm_batch: each prompt is a str or a dict"),
        ("llm_batch([{'text': 'a'}])", "TypeError: llm_batch: each prompt is a str or a dict"),
        ("llm_batch([{'prompt': 'a', 'temperature': 1}])", "ValueError: llm_batch: unknown key 'temperature'"),
        ("llm_batch(['a'], tools='web')", "TypeError: llm_batch: tools takes a list of tool names"),
        ("llm_batch(['a'], max_turns=0)", "TypeError: llm_batch: max_turns takes an int of 1 or more, not int 0"),
        ("llm('a', timeout='x')", "TypeError: llm: timeout takes a number of seconds above 0"),
        ("llm('a', temperature=1)", "TypeError: llm: unknown option 'temperature'"),
        ("llm('a', schema={'x': np.int64})", "TypeError: llm: only plain data reaches the host"),
        ("rlm('a', {'x': object()})", "TypeError: rlm: only plain data reaches the host"),
        ("lookup(lambda: 1)", "TypeError: lookup: only plain data reaches the host"),
        ("lookup(2**64)", "TypeError: lookup: only plain data reaches the host"),
    ],
)
async def test_a_mistake_in_a_call_is_an_error_in_the_cell(make_repl: MakeRepl, code: str, message: str) -> None:
    assert message in await (await make_repl(functions=["lookup"])).failed(code)


async def test_an_empty_batch_asks_nobody(repl: Repl) -> None:
    assert await repl.shown("llm_batch([])") == "[]\n"


async def test_a_pydantic_class_is_a_schema(repl: Repl) -> None:
    paused = await repl.execute("import pydantic\nclass A(pydantic.BaseModel):\n    x: int\nllm('a', schema=A)")
    assert isinstance(paused, CellPaused)
    assert paused.requests[0].calls[0]["schema"]["properties"]["x"]["type"] == "integer"


async def test_a_refusal_raises_in_the_cell(repl: Repl) -> None:
    paused = await repl.execute("try:\n    llm('a')\nexcept RuntimeError as e:\n    print(type(e).__name__, e)")
    assert isinstance(paused, CellPaused)
    event = await repl.answer({paused.requests[0].id: {"refused": "10 USD 남음"}})
    assert isinstance(event, CellDone)
    assert event.output == "BudgetExceeded 10 USD 남음\n"


async def test_host_functions(make_repl: MakeRepl) -> None:
    repl = await make_repl(functions=["lookup"])
    paused = await repl.execute("print(lookup('키', 2, deep=True))\nlookup('x')")
    assert isinstance(paused, CellPaused)
    (request,) = paused.requests
    assert (request.kind, request.name, request.args, request.kwargs) == (
        "function",
        "lookup",
        ("키", 2),
        {"deep": True},
    )
    paused = await repl.answer({request.id: {"ok": True, "value": {"값": [1]}}})
    assert isinstance(paused, CellPaused)
    event = await repl.answer({paused.requests[0].id: {"ok": False, "error": "없음"}})
    assert isinstance(event, CellDone)
    assert event.output == "{'값': [1]}\n"
    assert event.error is not None
    assert event.error.endswith("RuntimeError: lookup failed: 없음")


async def test_requests_of_threads_travel_together(repl: Repl) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    print(sorted(pool.map(lambda i: llm(f"p{i}"), range(8))))
"""
    event: Any = await repl.execute(code)
    pauses = 0
    while isinstance(event, CellPaused):
        pauses += 1
        event = await repl.answer({r.id: [reply(f"r-{r.calls[0]['prompt']}")] for r in event.requests})
    assert event.output == f"{[f'r-p{i}' for i in range(8)]!r}\n"
    assert pauses <= 3


async def test_calls_from_loops_and_nested_functions(repl: Repl) -> None:
    code = """
import asyncio
async def ask(x): return (lambda: [llm(x)])()[0]
str(await asyncio.to_thread(llm, "a")), str(await ask("b"))
"""
    event: Any = await repl.execute(code)
    while isinstance(event, CellPaused):
        event = await repl.answer({r.id: [reply(r.calls[0]["prompt"].upper())] for r in event.requests})
    assert event.output == "('A', 'B')\n"


async def test_a_cell_waits_for_the_requests_of_its_threads(repl: Repl) -> None:
    code = "import threading, time\nthreading.Thread(target=lambda: print(llm('a'))).start()\ntime.sleep(0.002)"
    paused = await repl.execute(code)
    assert isinstance(paused, CellPaused)
    event = await repl.answer({paused.requests[0].id: [reply("늦은 답")]})
    assert isinstance(event, CellDone)


async def test_waiting_for_answers_is_not_charged(make_repl: MakeRepl) -> None:
    repl = await make_repl(limits=Limits(cell_seconds=0.5))
    paused = await repl.execute("r = llm('a')\nprint(r)")
    assert isinstance(paused, CellPaused)
    await asyncio.sleep(0.8)
    event = await repl.answer({paused.requests[0].id: [reply("b")]})
    assert isinstance(event, CellDone)
    assert event.error is None
    assert event.seconds < 0.4


@pytest.mark.parametrize(
    "call", ["lookup({1: 2, 'a': 3})", "llm('a', schema={1: 2, 'a': 3})", "lookup(*[[{b'k': 1}]])"]
)
async def test_a_key_that_is_no_text_is_an_error_in_the_cell(make_repl: MakeRepl, call: str) -> None:
    repl = await make_repl(functions=["lookup"])
    event = await repl.execute(call)
    assert isinstance(event, CellDone), event
    assert event.error is not None
    assert "only plain data reaches the host" in event.error
    assert "only str can be one" in event.error
    assert repl.alive
