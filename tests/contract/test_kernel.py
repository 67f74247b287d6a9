"""What any kernel owes: the rules of the REPL, seen through the protocols of `rlm_agent/repl/kernel.py` alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from rlm_agent.repl import process
from rlm_agent.repl.kernel import Bindings, CellDone, CellPaused, ContextSource, Kernel, Session
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.settings import Limits

KERNELS: dict[str, Callable[[Limits], Kernel]] = {"process": ProcessKernel}

Start = Callable[..., Awaitable[Session]]


@pytest.fixture(params=KERNELS)
def make_kernel(request: pytest.FixtureRequest) -> Callable[[Limits], Kernel]:
    return KERNELS[request.param]


@pytest.fixture
async def start(make_kernel: Callable[[Limits], Kernel]) -> AsyncIterator[Start]:
    sessions: list[Session] = []

    async def new(snapshot: bytes | None = None, *, limits: Limits | None = None, **bindings: Any) -> Session:
        session = await make_kernel(limits or Limits()).session()
        sessions.append(session)
        await session.start(Bindings(**{"task": "질문: 무엇입니까?", **bindings}), snapshot)
        return session

    yield new
    for session in sessions:
        await session.close()


@pytest.fixture
async def session(start: Start) -> Session:
    return await start()


async def done(session: Session, code: str, **options: Any) -> CellDone:
    event = await session.execute(code, **options)
    assert isinstance(event, CellDone), event
    return event


async def shown(session: Session, code: str) -> str:
    event = await done(session, code)
    assert event.error is None, event.error
    return event.output


async def failed(session: Session, code: str) -> str:
    event = await done(session, code)
    assert event.error_kind == "exception", event
    assert event.error is not None
    return event.error


async def restored(start: Start, session: Session, **bindings: Any) -> Session:
    taken = await session.snapshot()
    await session.close()
    return await start(taken.data, **{"fresh_answer": False, **bindings})


# Cells


async def test_a_bare_last_expression_is_shown(session: Session) -> None:
    assert await shown(session, "print('안녕')\n'한국어' + '😀'") == "안녕\n'한국어😀'\n"
    assert await shown(session, "None") == ""
    assert await shown(session, "1;") == ""
    assert await shown(session, "x = 1") == ""
    assert await shown(session, "") == ""


async def test_functions_see_later_globals(session: Session) -> None:
    await done(session, "def f():\n    return later + g()")
    assert await shown(session, "later = 1\ndef g(): return 10\nf()") == "11\n"
    assert await shown(session, "later = 2\nf()") == "12\n"


async def test_assignments_before_an_error_stay(session: Session) -> None:
    await failed(session, "kept = 1\n_x = 2\n1/0\nnever = 3")
    assert await shown(session, "kept, _x, 'never' in globals()") == "(1, 2, False)\n"


async def test_a_traceback_shows_the_cells_own_lines_only(session: Session) -> None:
    await done(session, "import json\ndef 읽기(text):\n    return json.loads(text)")
    error = await failed(session, "읽기('{')")
    assert "File \"<cell 2>\", line 1, in <module>\n    읽기('{')" in error
    assert "return json.loads(text)" in error
    assert "decoder.py" not in error
    assert error.splitlines()[-1].startswith("json.decoder.JSONDecodeError: Expecting property name")


async def test_causes_are_shown(session: Session) -> None:
    error = await failed(session, "try:\n    1/0\nexcept Exception as e:\n    raise ValueError('나쁨') from e")
    assert "ZeroDivisionError" in error
    assert "direct cause" in error
    assert error.endswith("ValueError: 나쁨")


async def test_a_syntax_error_is_shown_as_python_does(session: Session) -> None:
    error = await failed(session, "x = (1,\ny = 2")
    assert 'File "<cell 1>", line 1' in error
    assert "SyntaxError: '(' was never closed" in error
    assert "^" in error


@pytest.mark.parametrize(
    "code", ["import sys; sys.exit()", "exit()", "raise SystemExit(0)", "await __import__('asyncio').sleep(0)\nquit()"]
)
async def test_exit_ends_the_cell_and_nothing_else(session: Session, code: str) -> None:
    event = await done(session, f"before = 1\n{code}\nafter = 1")
    assert event.error is None
    assert "sys.exit() ended the cell" in event.output
    assert await shown(session, "before, 'after' in globals()") == "(1, False)\n"


@pytest.mark.parametrize("status", ["3", "'왜냐하면'"])
async def test_exit_with_a_status_is_an_error(session: Session, status: str) -> None:
    error = await failed(session, f"import sys\nsys.exit({status})")
    assert error.endswith(f"SystemExit: {status.strip(chr(39))}")
    assert session.alive


async def test_await_works_at_the_top(session: Session) -> None:
    code = (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0.001)\n    return x\na = await f(1)\nawait f(a + 1)"
    )
    assert await shown(session, code) == "2\n"
    assert await shown(session, "print(await asyncio.gather(*[f(i) for i in range(3)]))") == "[0, 1, 2]\n"
    assert await shown(session, "task = asyncio.ensure_future(f(5)) if False else None\nasyncio.run(f(7))") == "7\n"


async def test_threads_and_standard_error_are_captured_in_order(session: Session) -> None:
    code = """
import sys, threading, warnings
print("one")
print("two", file=sys.stderr)
thread = threading.Thread(target=lambda: print("셋"))
thread.start(); thread.join()
warnings.warn("four")
sys.stdout.buffer.write("five\\n".encode())
print("six")
"""
    output = await shown(session, code)
    places = [output.index(word) for word in ("one", "two", "셋", "four", "five", "six")]
    assert places == sorted(places)


async def test_output_of_child_processes_is_captured(session: Session) -> None:
    assert "from a child" in await shown(session, "import subprocess; subprocess.run(['echo', 'from a child']);")
    assert await shown(session, "print(1)") == "1\n"


async def test_what_a_cell_does_to_its_streams_does_not_outlive_it(session: Session) -> None:
    await done(session, "import sys, io\nsys.stdout = io.StringIO()")
    assert await shown(session, "print('here')") == "here\n"
    await done(session, "sys.stdout.close()")
    assert await shown(session, "print('again')") == "again\n"


async def test_long_output_is_cut_in_the_middle(session: Session) -> None:
    output = await shown(session, "print('처음')\nfor i in range(400_000): print('가나다라마', i)\nprint('끝')")
    assert output.startswith("처음\n가나다라마 0\n")
    assert output.endswith("가나다라마 399999\n끝\n")
    assert "bytes of output left out" in output
    assert len(output.encode()) < 4_300_000


async def test_a_repr_that_raises_is_no_error(session: Session) -> None:
    output = await shown(session, "class A:\n    def __repr__(self): raise ValueError('no')\nA()")
    assert output == "<A: its repr raised ValueError: no>\n"


async def test_input_says_why_it_cannot(session: Session) -> None:
    assert "input() has nobody to ask" in await failed(session, "input('이름? ')")


async def test_deep_recursion_is_an_error(session: Session) -> None:
    assert "RecursionError" in await failed(session, "def f(n): return f(n + 1)\nf(0)")
    assert "Error" in await failed(session, "x = eval('-' * 5000 + '1')\neval('(' * 500 + ')' * 500)")
    nested = "x = []\nfor _ in range(100_000): x = [x]\nx"
    assert session.alive
    event = await done(session, nested)
    assert event.error is None
    assert "RecursionError" in event.output


async def test_classes_behave_as_in_a_program(session: Session) -> None:
    code = """
import pickle
from dataclasses import dataclass
from enum import Enum
@dataclass
class 점:
    x: int
    y: "int" = 2
class Color(Enum):
    RED = 1
pickle.loads(pickle.dumps(점(1))) == 점(1), pickle.loads(pickle.dumps(Color.RED)) is Color.RED, 점.__module__
"""
    assert await shown(session, code) == "(True, True, '__main__')\n"


# Bindings and the answer


async def test_what_is_bound(start: Start) -> None:
    history = [{"turn": 1, "code": "x", "output": "y", "error": None, "batches": 0}]
    messages = [{"role": "user", "content": "안녕"}]
    session = await start(history=history, messages=messages, functions=["lookup"], task="과제")
    code = "task, messages, len(history), context, answer, lookup.__name__, np is numpy, scipy.__name__, sympy.__name__"
    expected = ("과제", messages, 1, None, {"content": "", "ready": False}, "lookup", True, "scipy", "sympy")
    assert await shown(session, code) == f"{expected!r}\n"
    names = "llm_batch llm rlm rlm_batch show_vars llm_query llm_query_batched rlm_query rlm_query_batched SHOW_VARS"
    assert await shown(session, f"all(callable(globals()[name]) for name in '{names}'.split())") == "True\n"
    await done(session, "pass", history=[{**history[0], "turn": 2}])
    assert await shown(session, "[entry['turn'] for entry in history]") == "[1, 2]\n"


async def test_without_sub_calls_their_names_are_not_there(start: Start) -> None:
    session = await start(sub_calls=False)
    code = "[n for n in ('llm_batch', 'llm', 'rlm', 'rlm_batch', 'llm_query', 'rlm_query_batched') if n in globals()]"
    assert await shown(session, code) == "[]\n"
    assert "no variables" not in await shown(session, "print(SHOW_VARS())")


@pytest.mark.parametrize(
    ("code", "content", "ready"),
    [
        ("answer['content'] = '답'; answer['ready'] = True", "답", True),
        ("answer['content'] = {'목록': [1, 2.5, None, True]}", {"목록": [1, 2.5, None, True]}, False),
        ("answer['content'] = 2**70; answer['ready'] = np.bool_(True)", 2**70, True),
        ("answer['content'] = float('nan'); answer['ready'] = 'yes'", "nan", False),
        ("answer['content'] = {1: 2}; answer['ready'] = 1", "{1: 2}", False),
        ("answer['content'] = sympy.Symbol('x')**2", "x**2", False),
        ("a = []; a.append(a); answer['content'] = a", "[[...]]", False),
        ("answer['content'] = 'a\\ud800b'", "a?b", False),
        ("answer = 42", 42, False),
        ("del answer", "", False),
        ("class A:\n    def __str__(self): raise ValueError('no')\nanswer['content'] = A()", None, False),
    ],
)
async def test_the_answer_is_reported(session: Session, code: str, content: Any, ready: bool) -> None:
    event = await done(session, code)
    assert event.answer is not None
    assert event.answer["ready"] is ready
    if content is None:
        assert event.answer["content"] == "<A: its str raised ValueError: no>"
    else:
        assert event.answer["content"] == content


async def test_unready_takes_back_ready(session: Session) -> None:
    await done(session, "answer['ready'] = True")
    event = await done(session, "pass", unready=True)
    assert event.answer == {"content": "", "ready": False}


async def test_show_vars_lists_the_cells_variables(session: Session) -> None:
    await done(session, "숫자 = 7\ntable = np.zeros((3, 4))\n_hidden = 1")
    output = await shown(session, "show_vars()")
    assert "숫자" in output
    assert "numpy.ndarray" in output
    assert "llm_batch" not in output


@pytest.mark.parametrize("seed", [0, 2**40 + 1])
async def test_random_numbers_follow_the_seed(start: Start, seed: int) -> None:
    code = "import random\nrandom.random(), np.random.rand()"
    first, second, other = await start(seed=seed), await start(seed=seed), await start(seed=seed + 1)
    assert await shown(first, code) == await shown(second, code) != await shown(other, code)


# Context


async def test_a_text_context_of_100_megabytes(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("한국어 text 0123456789\n".encode() * 4_000_000)
    began = time.monotonic()
    session = await start(context=ContextSource("text", path))
    assert time.monotonic() - began < 3
    assert (
        await shown(session, "type(context) is str, context[:8], len(context)") == "(True, '한국어 text', 80000000)\n"
    )
    taken = await session.snapshot()
    assert len(taken.data) < 100_000


async def test_a_context_of_files(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "files"
    path.write_bytes("하나two".encode())
    source = ContextSource("files", path, (("ㄱ.txt", 0, 6), ("empty", 6, 0), ("b.txt", 6, 3)))
    session = await start(context=source)
    assert await shown(session, "context") == "{'ㄱ.txt': '하나', 'empty': '', 'b.txt': 'two'}\n"


@pytest.mark.parametrize("value", [[{"질문": 1}, [2]], {"a": "b"}, []])
async def test_a_context_of_json(start: Start, tmp_path: Path, value: Any) -> None:
    path = tmp_path / "json"
    path.write_bytes(msgpack.packb(value))
    session = await start(context=ContextSource("json", path))
    assert await shown(session, "context") == f"{value!r}\n"


async def test_an_empty_text_context(start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    session = await start(context=ContextSource("text", tmp_path / "empty"))
    assert await shown(session, "context") == "''\n"


# Sub-calls


def reply(text: str, **fields: Any) -> dict[str, Any]:
    return {"text": text, "ok": True, "error": None, "data": None, "sources": [], "usage": {}, **fields}


async def test_a_batch_pauses_the_cell(session: Session) -> None:
    code = """
before = 1
results = llm_batch(["첫째", {"prompt": "둘째", "model": "큰", "schema": {"type": "object"}}], system="s", timeout=9)
print([str(r) for r in results], [r.ok for r in results], results[1].error, results[0].sources, results[0].data)
results
"""
    paused = await session.execute(code)
    assert isinstance(paused, CellPaused)
    (request,) = paused.requests
    assert request.kind == "llm"
    assert request.calls == (
        {"prompt": "첫째", "system": "s", "timeout": 9.0},
        {"prompt": "둘째", "model": "큰", "schema": {"type": "object"}, "system": "s", "timeout": 9.0},
    )
    first = reply("답", sources=[{"url": "u"}], data={"a": 1})
    event = await session.answer({request.id: [first, reply("", ok=False, error="시간 초과")]})
    assert isinstance(event, CellDone)
    assert event.error is None
    assert event.output == (
        "['답', ''] [True, False] 시간 초과 [{'url': 'u'}] {'a': 1}\n['답', LLMResult('', ok=False, error='시간 초과')]\n"
    )


async def test_relatives_and_aliases_ask_too(session: Session) -> None:
    for code, kind, calls in [
        ("llm('a', model='m')", "llm", [{"prompt": "a", "model": "m"}]),
        ("llm_query('a')", "llm", [{"prompt": "a"}]),
        ("llm_query_batched(x for x in 'ab')", "llm", [{"prompt": "a"}, {"prompt": "b"}]),
        ("rlm('a', ['문맥'])", "rlm", [{"prompt": "a", "context": ["문맥"]}]),
        ("rlm_batch(['a', {'prompt': 'b', 'context': 'd'}], 'c')", "rlm", None),
    ]:
        paused = await session.execute(code)
        assert isinstance(paused, CellPaused)
        (request,) = paused.requests
        assert request.kind == kind
        if calls is None:
            calls = [{"prompt": "a", "context": "c"}, {"prompt": "b", "context": "d"}]
        assert list(request.calls) == calls
        event = await session.answer({request.id: [reply("x") for _ in calls]})
        assert isinstance(event, CellDone)
        assert event.error is None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "llm_batch('one')",
            "TypeError: llm_batch takes a list of prompts, not str; give llm_batch([prompt, ...]), or llm(",
        ),
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
async def test_a_mistake_in_a_call_is_an_error_in_the_cell(start: Start, code: str, message: str) -> None:
    assert message in await failed(await start(functions=["lookup"]), code)


async def test_an_empty_batch_asks_nobody(session: Session) -> None:
    assert await shown(session, "llm_batch([])") == "[]\n"


async def test_a_pydantic_class_is_a_schema(session: Session) -> None:
    paused = await session.execute("import pydantic\nclass A(pydantic.BaseModel):\n    x: int\nllm('a', schema=A)")
    assert isinstance(paused, CellPaused)
    assert paused.requests[0].calls[0]["schema"]["properties"]["x"]["type"] == "integer"


async def test_a_refusal_raises_in_the_cell(session: Session) -> None:
    paused = await session.execute("try:\n    llm('a')\nexcept RuntimeError as e:\n    print(type(e).__name__, e)")
    assert isinstance(paused, CellPaused)
    event = await session.answer({paused.requests[0].id: {"refused": "10 USD 남음"}})
    assert isinstance(event, CellDone)
    assert event.output == "BudgetExceeded 10 USD 남음\n"


async def test_host_functions(start: Start) -> None:
    session = await start(functions=["lookup"])
    paused = await session.execute("print(lookup('키', 2, deep=True))\nlookup('x')")
    assert isinstance(paused, CellPaused)
    (request,) = paused.requests
    assert (request.kind, request.name, request.args, request.kwargs) == (
        "function",
        "lookup",
        ("키", 2),
        {"deep": True},
    )
    paused = await session.answer({request.id: {"ok": True, "value": {"값": [1]}}})
    assert isinstance(paused, CellPaused)
    event = await session.answer({paused.requests[0].id: {"ok": False, "error": "없음"}})
    assert isinstance(event, CellDone)
    assert event.output == "{'값': [1]}\n"
    assert event.error is not None
    assert event.error.endswith("RuntimeError: lookup failed: 없음")


async def test_requests_of_threads_travel_together(session: Session) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    print(sorted(pool.map(lambda i: llm(f"p{i}"), range(8))))
"""
    event: Any = await session.execute(code)
    pauses = 0
    while isinstance(event, CellPaused):
        pauses += 1
        event = await session.answer({r.id: [reply(f"r-{r.calls[0]['prompt']}")] for r in event.requests})
    assert event.output == f"{[f'r-p{i}' for i in range(8)]!r}\n"
    assert pauses <= 3


async def test_calls_from_loops_and_nested_functions(session: Session) -> None:
    code = """
import asyncio
async def ask(x): return (lambda: [llm(x)])()[0]
str(await asyncio.to_thread(llm, "a")), str(await ask("b"))
"""
    event: Any = await session.execute(code)
    while isinstance(event, CellPaused):
        event = await session.answer({r.id: [reply(r.calls[0]["prompt"].upper())] for r in event.requests})
    assert event.output == "('A', 'B')\n"


async def test_a_cell_waits_for_the_requests_of_its_threads(session: Session) -> None:
    code = "import threading, time\nthreading.Thread(target=lambda: print(llm('a'))).start()\ntime.sleep(0.05)"
    paused = await session.execute(code)
    assert isinstance(paused, CellPaused)
    event = await session.answer({paused.requests[0].id: [reply("늦은 답")]})
    assert isinstance(event, CellDone)


async def test_waiting_for_answers_is_not_charged(start: Start) -> None:
    session = await start(limits=Limits(cell_seconds=0.5))
    paused = await session.execute("r = llm('a')\nprint(r)")
    assert isinstance(paused, CellPaused)
    await asyncio.sleep(0.8)
    event = await session.answer({paused.requests[0].id: [reply("b")]})
    assert isinstance(event, CellDone)
    assert event.error is None
    assert event.seconds < 0.4


# Time limits and death


async def test_a_long_cell_is_interrupted_and_keeps_its_variables(start: Start) -> None:
    session = await start(limits=Limits(cell_seconds=0.3))
    event = await done(session, "x = 1\nimport time\ntry:\n    time.sleep(60)\nfinally:\n    y = 2")
    assert event.error_kind == "interrupted"
    assert event.error is not None
    assert "time.sleep(60)" in event.error
    assert "stopped after 0.3 s" in event.error
    assert event.answer == {"content": "", "ready": False}
    assert await shown(session, "x, y") == "(1, 2)\n"


async def test_an_awaiting_cell_is_interrupted_whole(start: Start) -> None:
    session = await start(limits=Limits(cell_seconds=0.3))
    event = await done(session, "import asyncio\nticks = 0\nwhile True:\n    await asyncio.sleep(0.01)\n    ticks += 1")
    assert event.error_kind == "interrupted"
    assert await shown(session, "now = ticks\nawait asyncio.sleep(0.1)\nticks == now") == "True\n"


async def test_a_cell_that_will_not_stop_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SECOND_INTERRUPT", 0.2)
    monkeypatch.setattr(process, "KILL", 0.2)
    session = await start(limits=Limits(cell_seconds=0.2))
    code = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass"
    event = await done(session, code)
    assert event.error_kind == "killed"
    assert event.error is not None
    assert "killed; the namespace of before this cell is restored" in event.error
    assert event.answer is None
    assert not session.alive


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9, SIGKILL"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
async def test_a_dead_worker_is_told(session: Session, code: str, word: str) -> None:
    event = await done(session, code)
    assert event.error_kind == "died"
    assert event.error is not None
    assert word in event.error
    assert not session.alive
    assert (await done(session, "1")).error_kind == "died"


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
_private = {1, 2}
partial = functools.partial(helper, b=1)
import json, os.path
errors = [ValueError("나쁨")]
rng = np.random.default_rng(5); rng.random()
batch = llm_batch
import decimal; decimal.getcontext().prec = 7
import sys; sys.path.append("/tmp/added")
"""


async def test_a_namespace_lives_on_in_a_new_session(start: Start) -> None:
    first = await start(seed=3)
    await shown(first, MAKE)
    taken = await first.snapshot()
    assert {loss["name"] for loss in taken.lost} == {"generator", "handle", "raw"}
    listed = {variable["name"]: variable for variable in taken.variables}
    assert listed["array"]["shape"] == [3, 4]
    assert listed["generator"]["lost"]
    assert listed["big"]["size_bytes"] > 400_000
    assert all(len(variable["preview"]) <= 120 for variable in taken.variables)
    assert not {"context", "task", "llm_batch", "np"} & set(listed)

    checks = """
later = 40
def helper(a, b="?"): return f"new {a}:{b}"
print(uses_later(), counter.add(1), child.add(2), Counter.made, isinstance(child, Counter), point, point == 점(3, ["ㄱ"]))
print(up(), get(), fact(5), recursive(4), alias is array, array.sum(), double(4), expr.subs("x", 3), big == "긴 글 " * 100_000)
array[0, 0] = 100
print(alias[0, 0], pair[0] is pair[1]["s"] is shared, cycle[1] is cycle, _private, json.dumps("a"), os.path.basename("/a/b"))
print(cached(2), cached.cache_info().maxsize, partial("z"), repr(errors[0]), batch is llm_batch, decimal.getcontext().prec)
print("/tmp/added" in sys.path, random.random(), np.random.rand(), rng.random())
"""
    second = await start(taken.data, fresh_answer=False)
    output = await shown(second, checks)
    assert output == await shown(first, checks)
    assert output.startswith(
        "40 new 카운터:1 +new c:2 2 True 점(x=3, tags=['ㄱ']) True\n2 2 120 4 True 66.0 8 10 True\n100.0 True True"
    )
    error = await failed(second, "next(generator)")
    assert "This value (a generator) was lost" in error
    assert "lost" in await failed(second, "handle.write('x')")
    assert "lost" in await failed(second, "uses_later() + generator")
    again = await restored(start, second)
    assert await shown(again, "up(), double(3), generator") == (
        "(3, 6, <lost generator: it lives only in the process that made it>)\n"
    )


async def test_start_names_what_did_not_come_back(make_kernel: Callable[[Limits], Kernel], session: Session) -> None:
    await done(session, "g = (i for i in [])")
    taken = await session.snapshot()
    other = await make_kernel(Limits()).session()
    lost = await other.start(Bindings(task="x", fresh_answer=False), taken.data)
    assert [(loss["name"], loss["type"]) for loss in lost] == [("g", "generator")]
    await other.close()


async def test_what_pickles_but_does_not_load_costs_its_own_variable(start: Start, session: Session) -> None:
    code = """
class Two(Exception):
    def __init__(self, a, b): super().__init__(a); self.a = a
class Bomb:
    def __reduce__(self): return exec, ("import os; os._exit(7)",)
class Sneaky:
    def __reduce__(self): raise ValueError("안 됨")
before, bad, bomb, holds, after = [1], Two(1, 2), Bomb(), [Sneaky()], [2]
later = [before, after]
"""
    await shown(session, code)
    taken = await session.snapshot()
    why = {loss["name"]: loss["why"] for loss in taken.lost}
    assert set(why) == {"bad", "bomb", "holds"}
    assert "TypeError" in why["bad"]
    assert "kills the process" in why["bomb"]
    assert "안 됨" in why["holds"]
    second = await restored(start, session)
    assert await shown(second, "before, after, later[0] is before, later[1] is after") == "([1], [2], True, True)\n"
    assert "was lost when the session was restored" in await failed(second, "bad.args")


async def test_long_chains_survive(start: Start, session: Session) -> None:
    code = """
class Node:
    def __init__(self, n): self.n = n
head = None
for i in range(1500):
    node = Node(head); head = node
too_deep = []
for i in range(200_000): too_deep = [too_deep]
ok = 1
"""
    await shown(session, code)
    taken = await session.snapshot()
    assert [loss["name"] for loss in taken.lost] == ["too_deep"]
    second = await restored(start, session)
    assert await shown(second, "n, at = 0, head\nwhile at: n, at = n + 1, at.n\nn, ok") == "(1500, 1)\n"


async def test_context_is_no_part_of_a_snapshot_unless_changed(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "files"
    path.write_bytes(b"a" * 3_000_000 + b"b" * 2_000_000)
    source = ContextSource("files", path, (("a", 0, 3_000_000), ("b", 3_000_000, 2_000_000)))
    session = await start(context=source)
    await done(session, "doc = context['a']\nwhole = [context]\nimport random\nnoise = random.randbytes(100)")
    assert len((await session.snapshot()).data) < 20_000
    second = await restored(start, session, context=source)
    assert await shown(second, "doc is context['a'], whole[0] is context, len(doc)") == "(True, True, 3000000)\n"
    await done(second, "context['c'] = '새로운'; del context['b']")
    taken = await second.snapshot()
    assert len(taken.data) < 20_000
    assert "context" in {variable["name"] for variable in taken.variables}
    third = await restored(start, second, context=source)
    assert await shown(third, "list(context), context['a'] is doc, whole[0] is context") == "(['a', 'c'], True, True)\n"


async def test_a_new_context_wins_over_the_old_ones_aliases(start: Start, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("옛 " * 2000)
    new.write_text("새 " * 2000)
    session = await start(context=ContextSource("text", old))
    await done(session, "alias = context\npart = context[:2]\ntask = 'mine'")
    second = await restored(start, session, context=ContextSource("text", new), fresh_answer=True, task="둘째 질문")
    assert await shown(second, "context[:2], part, task, answer['ready']") == "('새 ', '옛 ', '둘째 질문', False)\n"
    assert "it belonged to an earlier context" in await failed(second, "alias.upper()")


async def test_rebound_and_deleted_host_names_stay_so(start: Start, session: Session) -> None:
    await done(session, "context = 'mine'\nnp = 5\ndel messages\nhistory.append('note')\nanswer['content'] = '부분'")
    second = await restored(start, session)
    assert await shown(second, "context, np, 'messages' in globals(), history, answer['content']") == (
        "('mine', 5, False, ['note'], '부분')\n"
    )


async def test_tracebacks_know_the_cells_of_before_a_restore(start: Start, session: Session) -> None:
    await done(session, "def broken():\n    return 1 / 0  # 여기")
    second = await restored(start, session)
    error = await failed(second, "broken()")
    assert 'File "<cell 2>", line 1' in error
    assert "return 1 / 0  # 여기" in error


async def test_a_snapshot_of_many_megabytes(start: Start, session: Session) -> None:
    await done(session, "data = np.random.default_rng(0).bytes(90_000_000)\nimport hashlib")
    digest = await shown(session, "hashlib.sha256(data).hexdigest()")
    second = await restored(start, session)
    assert await shown(second, "hashlib.sha256(data).hexdigest()") == digest


async def test_sub_calls_work_after_a_restore(start: Start, session: Session) -> None:
    await done(
        session, "def ask(x): return llm_batch([x])[0]\nfrom functools import partial\nq = partial(llm, model='m')"
    )
    second = await restored(start, session)
    paused = await second.execute("print(ask('a'))\nprint(q('b'))")
    assert isinstance(paused, CellPaused)
    paused = await second.answer({paused.requests[0].id: [reply("첫")]})
    assert isinstance(paused, CellPaused)
    assert paused.requests[0].calls == ({"prompt": "b", "model": "m"},)
