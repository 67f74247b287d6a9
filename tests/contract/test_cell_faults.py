"""What a cell can do to its worker: the run goes on, the root reads what happened, and the variables are there."""

import asyncio
import gc
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from three_turns import all_of, run

from rlm_agent import Limits
from rlm_agent.repl import process
from rlm_agent.repl.usage import descendants, resident

TIME = r"stopped after|ran longer than"
# code of the second turn; what the root reads of it (a pattern); whether its process ends with it.
FAULTS: dict[str, tuple[str, str]] = {
    # Time
    "an endless loop": ("late = 1\nwhile True: pass", "stopped after 0.5 s"),
    "an endless call of C": ("import itertools\nsum(itertools.repeat(1))", "did not stop when it was interrupted"),
    "a loop that catches all": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        TIME,
    ),
    "a signal that is ignored": ("import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass", "did not stop"),
    "a handler of its own": (
        "import signal\nsignal.signal(2, lambda *a: print('no'))\nwhile True: pass",
        "did not stop",
    ),
    "a worker that stops itself": ("import os\nos.kill(os.getpid(), 19)", "did not stop when it was interrupted"),
    "a lock for ever": ("import threading\nl = threading.Lock()\nl.acquire()\nl.acquire()", TIME),
    "a loop in a destructor": (
        "class A:\n    def __del__(self):\n        while True: pass\na = A()\ndel a",
        "KeyboardInterrupt|stopped after",
    ),
    # The stack and the process
    "deep recursion": ("def f(): f()\nf()", "RecursionError"),
    "recursion without a limit": (
        "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())",
        r"SIGSEGV|MemoryError|RecursionError|stopped after",
    ),
    "the process's end": ("import os\nos._exit(3)", "exit code 3"),
    "a signal to itself": ("import os\nos.kill(os.getpid(), 9)", "SIGKILL"),
    "a segmentation fault": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "an abort": ("import os\nos.abort()", "SIGABRT"),
    "an end in a thread": (
        "import os, threading\nthreading.Thread(target=lambda: os._exit(4)).start()\nwhile 1: pass",
        "exit code 4",
    ),
    # The channel
    "closing all descriptors": ("import os\nos.closerange(0, 4096)", "ended its worker|killed|Bad file"),
    "garbage on the channel": (
        "import os\nfor fd in range(3, 30):\n    try: os.write(fd, b'\\xff' * 1000)\n    except OSError: pass\n"
        "while 1: pass",
        "broke the protocol",
    ),
    "half a frame": (
        "import os\nfor fd in range(3, 30):\n    try: os.write(fd, b'\\0\\0\\1\\0half')\n    except OSError: pass",
        "broke the protocol|ran longer",
    ),
    "a frame without end": (
        "import os\nfor fd in range(3, 30):\n    try:\n"
        "        while True: os.write(fd, b'\\x83\\xff\\xff\\xff' + b'x' * (1 << 20))\n    except OSError: pass",
        "broke the protocol|ran longer",
    ),
    # What others call
    "a repr that loops": ("class A:\n    def __repr__(self):\n        while True: pass\nA()", TIME),
    "a repr that prints": (
        "class A:\n    def __repr__(self):\n        print('inner')\n        return 'outer'\nA()",
        "inner\nouter",
    ),
    "a repr that raises": ("class A:\n    def __repr__(self): 1/0\nA()", "its repr raised ZeroDivisionError"),
    "a repr that exits": ("class A:\n    def __repr__(self): raise SystemExit('gone')\nA()", "gone"),
    "a str that prints": (
        "class A:\n    def __str__(self):\n        print('inner')\n        return 'outer'\nprint(A())",
        r"\Ainner\nouter",
    ),
    "a str that loops": ("class A:\n    def __str__(self):\n        while True: pass\nprint(A())", TIME),
    "a str that raises": ("class A:\n    def __str__(self): 1/0\nprint(A())", "ZeroDivisionError"),
    "a destructor that prints": (
        "class A:\n    def __del__(self): print('last words')\na = A()\ndel a\nprint('ran')",
        r"\Alast words\nran",
    ),
    "a destructor that raises": (
        "class A:\n    def __del__(self): 1/0\na = A()\ndel a\nprint('ran')",
        r"Exception ignored in.*A\.__del__.*ZeroDivisionError.*\nran",
    ),
    "a destructor that ends": ("import os\nclass A:\n    def __del__(self): os._exit(8)\nA()\n1", "exit code 8"),
    "an error whose text loops": (
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        r"str\(\) failed|did not stop",
    ),
    "an error whose text raises": (
        "class E(Exception):\n    def __str__(self): raise E\nraise E",
        r"<exception str\(\) failed>",
    ),
    "an answer whose text loops": (
        "class A:\n    def __str__(self):\n        while True: pass\nanswer['content'] = A()",
        "did not stop",
    ),
    "an answer whose text prints": (
        "class A:\n    def __str__(self):\n        print('inner')\n        return 'outer'\n"
        "answer['content'] = A()\nprint('ran')",
        r"\Aran\ninner",
    ),
    "an answer that is no dict": (
        "class D(dict):\n    def get(self, *a): 1/0\n    __getitem__ = get\nanswer = D()\nprint('ran')",
        "ran",
    ),
    # The worker's own things
    "builtins without print": ("import builtins\nbuiltins.print = builtins.repr = None\n[1]", "not callable"),
    "builtins that raise": (
        "import builtins\ndef no(*a, **k): raise ValueError('patched')\n"
        "for n in ('len', 'isinstance', 'type', 'open', 'str', 'dict', 'list', 'getattr'): setattr(builtins, n, no)",
        r"ended its worker \(exit code",
    ),
    "the worker's modules": (
        "import sys\nfor name, module in list(sys.modules.items()):\n    if name.startswith('rlm_agent'):\n"
        "        for n in list(vars(module)):\n            if not n.startswith('__'): setattr(module, n, None)",
        r"ended its worker \(exit code",
    ),
    "no modules": ("import sys\nsys.modules.clear()\nprint('ran')", "could not be saved, so all variables are again"),
    "a trace function that raises": (
        "import sys\ndef t(*a): raise ValueError('traced')\nsys.settrace(t)\nlate = (lambda: 1)()",
        "traced",
    ),
    "a profile function that loops": ("import sys\ndef t(*a):\n    while True: pass\nsys.setprofile(t)", TIME),
    "an exit handler": ("import atexit, time\natexit.register(lambda: time.sleep(100))\nprint('ran')", "ran"),
    "a directory that is gone": (
        "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\nprint('ran')",
        "ran",
    ),
    "streams that are closed": ("import sys, os\nsys.stdout.close()\nos.close(1)\nos.close(2)", r"\A\s*\(\)\Z"),
    "a collector that is off": (
        "import gc, threading\ngc.disable()\nthreading.Thread.start = None\nprint('ran')",
        "ran.*could not be saved",
    ),
    # What saving and loading call
    "a reduce that loops": (
        "class A:\n    def __reduce__(self):\n        while True: pass\na = A()",
        "could not be saved",
    ),
    "a reduce that raises": (
        "class A:\n    def __reduce__(self): raise ValueError('never')\na = A()\nlate = 1",
        "never",
    ),
    "a reduce that ends": ("import os\nclass A:\n    def __reduce__(self): os._exit(5)\na = A()", "exit code 5"),
    "a reduce of nonsense": ("class A:\n    def __reduce__(self): return (7, 8, 9)\na = A()", "cannot be pickled"),
    "a load that ends": (
        "import os\nclass A:\n    def __reduce__(self): return (os._exit, (6,))\na = A()\nprint('ran')",
        "kills the process",
    ),
    "a load that loops": (
        "class A:\n    def __getstate__(self): return 1\n    def __setstate__(self, state):\n"
        "        while True: pass\na = A()",
        "loading it again takes over|could not be saved",
    ),
    "an end after the cell": (
        "import os, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.02), os._exit(7)), daemon=True).start()\n"
        "class A:\n    def __reduce__(self):\n        time.sleep(0.5); return (int, ())\na = A()",
        "exit code 7",
    ),
    # Threads that stay
    "a thread that prints for ever": (
        "import threading\ndef f():\n    while True: print('x' * 1000)\n"
        "threading.Thread(target=f, daemon=True).start()\nprint('ran')",
        "ran",
    ),
    "a thread that asks too late": (
        "import threading, time\ndef f():\n    time.sleep(0.3)\n    llm('late')\n"
        "threading.Thread(target=f, daemon=True).start()\nprint('ran')",
        "ran",
    ),
    # Size
    "output without end": ("while True: print('0123456789' * 1000)", TIME),
    "output below the streams without end": (
        "import os\nwhile True: os.write(1, b'x' * (1 << 20))",
        "stopped after|disk|No space|killed|File too large",
    ),
    "a child that prints without end": (
        "import subprocess\nsubprocess.run(['yes'])",
        "stopped after|returncode=-25|disk|killed|ran longer",
    ),
    "memory without end": ("hold = []\nwhile True: hold.append(bytearray(10 << 20))", "MemoryError|memory"),
    "one large array": ("late = np.ones(10**12)", "MemoryError|Unable to allocate"),
    "memory in children": (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        hold = bytearray(b'x') * (100 << 20)\n"
        "        time.sleep(60)\n        os._exit(0)\ntime.sleep(60)",
        "memory|stopped after|MemoryError|ran longer",
    ),
    "processes without end": (
        "import os\nwhile True: os.fork()",
        "process|memory|stopped after|killed|BlockingIOError|ran longer",
    ),
    "threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
        "can't start new thread|stopped after|memory|killed",
    ),
    "descriptors without end": ("hold = []\nwhile True: hold.append(open('/dev/null'))", "Too many open files"),
    "a scratch that is filled": (
        "n = 0\nwhile True:\n    n += 1\n    with open(f'file{n}', 'wb') as f: f.write(bytes(10 << 20))",
        "disk|No space|stopped after|File too large|quota",
    ),
    "files without end": (
        "n = 0\nwhile True:\n    n += 1\n    open(f'f{n}', 'w').close()",
        "stopped after|disk|No space|files",
    ),
    "one large file": (
        "f = open('large', 'wb')\nf.truncate(10**13)\nf.seek(10**12)\nf.write(b'x')",
        "File too large",
    ),
}
# Those that take their time, save some of each kind.
TIMED = {name for name, (_, pattern) in FAULTS.items() if "stopped after" in pattern or "did not stop" in pattern}
SLOW = TIMED - {"an endless call of C", "a loop that catches all", "a worker that stops itself", "a repr that loops"}
SLOW |= {"a load that loops", "a reduce that loops", "a frame without end", "half a frame"}


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SECOND_INTERRUPT", 0.3)
    monkeypatch.setattr(process, "KILL", 0.5)
    monkeypatch.setattr(process, "CARE_SECONDS", 3.0)


@pytest.mark.parametrize("fault", [pytest.param(f, marks=pytest.mark.slow if f in SLOW else []) for f in FAULTS])
def test_the_run_goes_on(fault: str) -> None:
    code, pattern = FAULTS[fault]
    by_time = "stopped after" in pattern or "did not stop" in pattern or "ran longer" in pattern
    limits = Limits(cell_seconds=0.5 if by_time else 10, memory_mb=256, disk_mb=64)
    (turn, _after), result = run(code, limits)
    read = all_of(turn)
    assert re.search(pattern, read, re.DOTALL), read[-2000:]
    assert len(read) < 10_000_000
    kept, total, _late = result["content"]
    assert (kept, total) == (["앞", 1], 10)


# What is called while a turn is saved has nobody to print to but the next turn.
CALLED_AT_SAVING = {
    "a reduce": "class A:\n    def __reduce__(self):\n        print('while saved'); return (int, ())\nlate = A()",
    "a repr": "class A:\n    def __repr__(self):\n        print('while saved'); return 'A'\nlate = A()",
}


@pytest.mark.parametrize("called", CALLED_AT_SAVING)
def test_what_is_printed_while_a_turn_is_saved_is_read_with_the_next(called: str) -> None:
    (turn, after), result = run(CALLED_AT_SAVING[called], Limits())
    assert (turn.output, turn.lost) == ("", ())
    assert after.output.startswith("while saved")
    assert result["content"] == [["앞", 1], 10, True]


# One cell a line; `\n` stands for the ends of its lines.
BRIEF = r"""
import os; os._exit(3)
import os; os.kill(os.getpid(), 9)
import ctypes; ctypes.string_at(0)
1/0
def f(): f()\nf()
print('x' * 6_000_000)
hold = [open('/dev/null') for _ in range(2000)]
import os\nfor fd in range(3, 30):\n    try: os.write(fd, b'\xff' * 1000)\n    except OSError: pass\nwhile 1: pass
open('file', 'wb').write(bytes(5 << 20))
import os\nif os.fork() == 0:\n    import time; time.sleep(60)
"""


def held(scratches: Path) -> dict[str, int]:
    """What a host holds beside its memory: descriptors, threads, processes, and files of sessions."""
    gc.collect()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "processes": len(descendants(os.getpid(), 10_000)[0]),
        "scratch files": sum(1 for _ in scratches.rglob("*")),
    }


def resident_mb() -> float:
    """Memory of the host, and of the zygote below it."""
    return resident(descendants(os.getpid(), 10_000)[0]) / 2**20


@pytest.mark.exhaustive
async def test_five_hundred_faulty_cells_leave_nothing(
    make_repl: Callable[..., Awaitable[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("rlm_agent.repl.bwrap._shared", {})
    codes = [line.replace("\\n", "\n") for line in BRIEF.strip().splitlines()]
    endings: Counter[str] = Counter()

    async def cells(count: int) -> None:
        repl = None
        for number in range(count):
            if repl is None or not repl.alive:
                repl = await make_repl(limits=Limits(cell_seconds=2, memory_mb=512, disk_mb=64))
            event = await repl.execute(codes[number % len(codes)])
            endings[event.error_kind or "no error"] += 1
            if repl.alive and number % len(codes) == len(codes) - 1:
                await repl.close()
        if repl is not None:
            await repl.close()

    await cells(100)
    # The loop's own pool of threads grows as it is used; whole, it can hide none that stays.
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.05) for _ in range(64)))
    before, memory = held(tmp_path), resident_mb()
    endings.clear()
    await cells(500)
    after, grown = held(tmp_path), resident_mb() - memory
    with capsys.disabled():
        print(f"\n500 faulty cells {dict(endings)}: {before} -> {after}; {memory:.0f} MB, grown by {grown:.1f} MB")
    assert endings.total() == 500
    assert endings["no error"] < 500 / 2
    for name in ("descriptors", "threads", "processes", "scratch files"):
        assert after[name] <= before[name], name
    assert grown < 20
