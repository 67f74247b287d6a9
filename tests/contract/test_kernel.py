"""What any kernel owes a cell: the rules of the REPL, what is bound, time limits and death."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from rlm_agent.repl import process
from rlm_agent.repl.kernel import CellDone, ContextSource
from rlm_agent.settings import Limits

Repl = Any  # of conftest.py
MakeRepl = Callable[..., Awaitable[Repl]]


# Cells


async def test_a_bare_last_expression_is_shown(repl: Repl) -> None:
    assert await repl.shown("print('안녕')\n'한국어' + '😀'") == "안녕\n'한국어😀'\n"
    assert await repl.shown("None") == ""
    assert await repl.shown("1;") == ""
    assert await repl.shown("x = 1") == ""
    assert await repl.shown("") == ""


async def test_functions_see_later_globals(repl: Repl) -> None:
    await repl.done("def f():\n    return later + g()")
    assert await repl.shown("later = 1\ndef g(): return 10\nf()") == "11\n"
    assert await repl.shown("later = 2\nf()") == "12\n"


async def test_assignments_before_an_error_stay(repl: Repl) -> None:
    await repl.failed("kept = 1\n_x = 2\n1/0\nnever = 3")
    assert await repl.shown("kept, _x, 'never' in globals()") == "(1, 2, False)\n"


async def test_a_traceback_shows_the_cells_own_lines_only(repl: Repl) -> None:
    await repl.done("import json\ndef 읽기(text):\n    return json.loads(text)")
    error = await repl.failed("읽기('{')")
    assert "File \"<cell 2>\", line 1, in <module>\n    읽기('{')" in error
    assert "return json.loads(text)" in error
    assert "decoder.py" not in error
    assert error.splitlines()[-1].startswith("json.decoder.JSONDecodeError: Expecting property name")


async def test_causes_are_shown(repl: Repl) -> None:
    error = await repl.failed("try:\n    1/0\nexcept Exception as e:\n    raise ValueError('나쁨') from e")
    assert "ZeroDivisionError" in error
    assert "direct cause" in error
    assert error.endswith("ValueError: 나쁨")


async def test_a_syntax_error_is_shown_as_python_does(repl: Repl) -> None:
    error = await repl.failed("x = (1,\ny = 2")
    assert 'File "<cell 1>", line 1' in error
    assert "SyntaxError: '(' was never closed" in error
    assert "^" in error


@pytest.mark.parametrize(
    "code", ["import sys; sys.exit()", "exit()", "raise SystemExit(0)", "await __import__('asyncio').sleep(0)\nquit()"]
)
async def test_exit_ends_the_cell_and_nothing_else(repl: Repl, code: str) -> None:
    event = await repl.done(f"before = 1\n{code}\nafter = 1")
    assert event.error is None
    assert "sys.exit() ended the cell" in event.output
    assert await repl.shown("before, 'after' in globals()") == "(1, False)\n"


@pytest.mark.parametrize("status", ["3", "'왜냐하면'"])
async def test_exit_with_a_status_is_an_error(repl: Repl, status: str) -> None:
    error = await repl.failed(f"import sys\nsys.exit({status})")
    assert error.endswith(f"SystemExit: {status.strip(chr(39))}")
    assert repl.alive


async def test_await_works_at_the_top(repl: Repl) -> None:
    code = (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0.001)\n    return x\na = await f(1)\nawait f(a + 1)"
    )
    assert await repl.shown(code) == "2\n"
    assert await repl.shown("print(await asyncio.gather(*[f(i) for i in range(3)]))") == "[0, 1, 2]\n"
    assert await repl.shown("task = asyncio.ensure_future(f(5)) if False else None\nasyncio.run(f(7))") == "7\n"


async def test_threads_and_standard_error_are_captured_in_order(repl: Repl) -> None:
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
    output = await repl.shown(code)
    places = [output.index(word) for word in ("one", "two", "셋", "four", "five", "six")]
    assert places == sorted(places)


async def test_output_of_child_processes_is_captured(repl: Repl) -> None:
    assert "from a child" in await repl.shown("import subprocess; subprocess.run(['echo', 'from a child']);")
    assert await repl.shown("print(1)") == "1\n"


async def test_what_a_cell_does_to_its_streams_does_not_outlive_it(repl: Repl) -> None:
    await repl.done("import sys, io\nsys.stdout = io.StringIO()")
    assert await repl.shown("print('here')") == "here\n"
    await repl.done("sys.stdout.close()")
    assert await repl.shown("print('again')") == "again\n"


async def test_long_output_is_cut_in_the_middle(repl: Repl) -> None:
    output = await repl.shown("print('처음')\nfor i in range(400_000): print('가나다라마', i)\nprint('끝')")
    assert output.startswith("처음\n가나다라마 0\n")
    assert output.endswith("가나다라마 399999\n끝\n")
    assert "bytes of output left out" in output
    assert len(output.encode()) < 4_300_000


async def test_a_repr_that_raises_is_no_error(repl: Repl) -> None:
    output = await repl.shown("class A:\n    def __repr__(self): raise ValueError('no')\nA()")
    assert output == "<A: its repr raised ValueError: no>\n"


async def test_input_says_why_it_cannot(repl: Repl) -> None:
    assert "input() has nobody to ask" in await repl.failed("input('이름? ')")


async def test_deep_recursion_is_an_error(repl: Repl) -> None:
    assert "RecursionError" in await repl.failed("def f(n): return f(n + 1)\nf(0)")
    assert "Error" in await repl.failed("x = eval('-' * 5000 + '1')\neval('(' * 500 + ')' * 500)")
    nested = "x = []\nfor _ in range(100_000): x = [x]\nx"
    assert repl.alive
    event = await repl.done(nested)
    assert event.error is None
    assert "RecursionError" in event.output


async def test_classes_behave_as_in_a_program(repl: Repl) -> None:
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
    assert await repl.shown(code) == "(True, True, '__main__')\n"


# Bindings and the answer


async def test_what_is_bound(make_repl: MakeRepl) -> None:
    history = [{"turn": 1, "code": "x", "output": "y", "error": None, "batches": 0}]
    messages = [{"role": "user", "content": "안녕"}]
    repl = await make_repl(history=history, messages=messages, functions=["lookup"], task="과제")
    code = "task, messages, len(history), context, answer, lookup.__name__, np is numpy, scipy.__name__, sympy.__name__"
    expected = ("과제", messages, 1, None, {"content": "", "ready": False}, "lookup", True, "scipy", "sympy")
    assert await repl.shown(code) == f"{expected!r}\n"
    names = "llm_batch llm rlm rlm_batch show_vars llm_query llm_query_batched rlm_query rlm_query_batched SHOW_VARS"
    assert await repl.shown(f"all(callable(globals()[name]) for name in '{names}'.split())") == "True\n"
    await repl.done("pass", history=[{**history[0], "turn": 2}])
    assert await repl.shown("[entry['turn'] for entry in history]") == "[1, 2]\n"


async def test_without_sub_calls_their_names_are_not_there(make_repl: MakeRepl) -> None:
    repl = await make_repl(sub_calls=False)
    code = "[n for n in ('llm_batch', 'llm', 'rlm', 'rlm_batch', 'llm_query', 'rlm_query_batched') if n in globals()]"
    assert await repl.shown(code) == "[]\n"
    assert "no variables" not in await repl.shown("print(SHOW_VARS())")


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
async def test_the_answer_is_reported(repl: Repl, code: str, content: Any, ready: bool) -> None:
    event = await repl.done(code)
    assert event.answer is not None
    assert event.answer["ready"] is ready
    if content is None:
        assert event.answer["content"] == "<A: its str raised ValueError: no>"
    else:
        assert event.answer["content"] == content


async def test_unready_takes_back_ready(repl: Repl) -> None:
    await repl.done("answer['ready'] = True")
    event = await repl.done("pass", unready=True)
    assert event.answer == {"content": "", "ready": False}


async def test_show_vars_lists_the_cells_variables(repl: Repl) -> None:
    await repl.done("숫자 = 7\ntable = np.zeros((3, 4))\n_hidden = 1")
    output = await repl.shown("show_vars()")
    assert "숫자" in output
    assert "numpy.ndarray" in output
    assert "llm_batch" not in output


@pytest.mark.parametrize("seed", [0, 2**40 + 1])
async def test_random_numbers_follow_the_seed(make_repl: MakeRepl, seed: int) -> None:
    code = "import random\nrandom.random(), np.random.rand()"
    first, second, other = await make_repl(seed=seed), await make_repl(seed=seed), await make_repl(seed=seed + 1)
    assert await first.shown(code) == await second.shown(code) != await other.shown(code)


# Context


async def test_a_text_context_of_100_megabytes(make_repl: MakeRepl, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("한국어 text 0123456789\n".encode() * 4_000_000)
    began = time.monotonic()
    repl = await make_repl(context=ContextSource("text", path))
    assert time.monotonic() - began < 3
    assert await repl.shown("type(context) is str, context[:8], len(context)") == "(True, '한국어 text', 80000000)\n"
    taken = await repl.snapshot()
    assert taken.size < 100_000


async def test_a_context_of_files(make_repl: MakeRepl, tmp_path: Path) -> None:
    path = tmp_path / "files"
    path.write_bytes("하나two".encode())
    source = ContextSource("files", path, (("ㄱ.txt", 0, 6), ("empty", 6, 0), ("b.txt", 6, 3)))
    repl = await make_repl(context=source)
    assert await repl.shown("context") == "{'ㄱ.txt': '하나', 'empty': '', 'b.txt': 'two'}\n"


@pytest.mark.parametrize("value", [[{"질문": 1}, [2]], {"a": "b"}, []])
async def test_a_context_of_json(make_repl: MakeRepl, tmp_path: Path, value: Any) -> None:
    path = tmp_path / "json"
    path.write_bytes(msgpack.packb(value))
    repl = await make_repl(context=ContextSource("json", path))
    assert await repl.shown("context") == f"{value!r}\n"


async def test_an_empty_text_context(make_repl: MakeRepl, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    repl = await make_repl(context=ContextSource("text", tmp_path / "empty"))
    assert await repl.shown("context") == "''\n"


# Time limits and death


async def test_a_long_cell_is_interrupted_and_keeps_its_variables(make_repl: MakeRepl) -> None:
    repl = await make_repl(limits=Limits(cell_seconds=0.3))
    event = await repl.done("x = 1\nimport time\ntry:\n    time.sleep(60)\nfinally:\n    y = 2")
    assert event.error_kind == "interrupted"
    assert event.error is not None
    assert "time.sleep(60)" in event.error
    assert "stopped after 0.3 s" in event.error
    assert event.answer == {"content": "", "ready": False}
    assert await repl.shown("x, y") == "(1, 2)\n"


async def test_a_cells_time_is_the_sum_of_its_stretches(make_repl: MakeRepl) -> None:
    repl = await make_repl(limits=Limits(cell_seconds=0.6))
    code = "import time\ntime.sleep(0.4)\nllm('a')\ntime.sleep(0.4)\nlate = 1"
    paused = await repl.execute(code)
    event = await repl.answer({paused.requests[0].id: [{"text": "b"}]})
    assert event.error_kind == "interrupted"
    assert 0.5 < event.seconds < 1.5
    assert await repl.shown("time.sleep(0.4)\n'late' in globals()") == "False\n"


async def test_a_cell_is_interrupted_when_it_is_told(repl: Repl) -> None:
    running = asyncio.ensure_future(repl.execute("x = 1\nprint('begun')\nwhile True: pass"))
    await asyncio.sleep(0.5)
    await repl.interrupt()
    event = await asyncio.wait_for(running, 10)
    assert isinstance(event, CellDone)
    assert (event.error_kind, event.output) == ("interrupted", "begun\n")
    assert (event.error or "").endswith("KeyboardInterrupt: stopped by an interrupt; the variables are kept.")
    await repl.interrupt()
    assert await repl.shown("x") == "1\n", "between cells nothing happens"


async def test_an_awaiting_cell_is_interrupted_whole(make_repl: MakeRepl) -> None:
    repl = await make_repl(limits=Limits(cell_seconds=0.3))
    event = await repl.done("import asyncio\nticks = 0\nwhile True:\n    await asyncio.sleep(0.01)\n    ticks += 1")
    assert event.error_kind == "interrupted"
    assert await repl.shown("now = ticks\nawait asyncio.sleep(0.1)\nticks == now") == "True\n"


async def test_a_cell_that_will_not_stop_is_killed(make_repl: MakeRepl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SECOND_INTERRUPT", 0.2)
    monkeypatch.setattr(process, "KILL", 0.2)
    repl = await make_repl(limits=Limits(cell_seconds=0.2))
    code = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass"
    event = await repl.done(code)
    assert event.error_kind == "killed"
    assert event.error is not None
    assert "killed; the namespace of before this cell is restored" in event.error
    assert event.answer is None
    assert not repl.alive


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9, SIGKILL"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
async def test_a_dead_worker_is_told(repl: Repl, code: str, word: str) -> None:
    event = await repl.done(code)
    assert event.error_kind == "died"
    assert event.error is not None
    assert word in event.error
    assert not repl.alive
    assert (await repl.done("1")).error_kind == "died"
