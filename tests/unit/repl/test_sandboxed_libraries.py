"""What people do in a cell works under the sandbox as without it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from rlm_agent.repl.kernel import Bindings, CellDone
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.settings import Limits

Shown = Callable[[str], Awaitable[str]]


@pytest.fixture
async def shown() -> AsyncIterator[Shown]:
    session = await ProcessKernel(Limits(sandbox="required")).session()
    await session.start(Bindings(task=""), None)

    async def output(code: str) -> str:
        event = await session.execute(code)
        assert isinstance(event, CellDone)
        assert event.error is None, event.error
        return event.output.strip()

    yield output
    await session.close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "a = np.random.default_rng(1).random((300, 300)); bool(np.allclose(a @ np.linalg.inv(a), np.eye(300)))",
            "True",
        ),
        ("from scipy import optimize\nround(optimize.brentq(lambda x: x * x - 2, 0, 2), 6)", "1.414214"),
        ("x = sympy.Symbol('x')\nstr(sympy.integrate(sympy.sin(x), x))", "'-cos(x)'"),
        (
            "import sqlite3\nc = sqlite3.connect('a.db')\nc.execute('create table t (x)')\n"
            "with c: c.executemany('insert into t values (?)', [(n,) for n in range(9)])\n"
            "c.execute('select sum(x) from t').fetchone()",
            "(36,)",
        ),
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "with ThreadPoolExecutor(16) as pool: out = sum(pool.map(lambda n: n * n, range(100)))\nout",
            "328350",
        ),
        (
            "import asyncio\nasync def f(n):\n    await asyncio.sleep(0.001)\n    return n\n"
            "p = await asyncio.create_subprocess_exec('echo', 'x', stdout=-1)\n"
            "sum(await asyncio.gather(*map(f, range(50)))), (await p.communicate())[0]",
            "(1225, b'x\\n')",
        ),
        (
            "import datetime, zoneinfo\n"
            "str(datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('Asia/Seoul')).utcoffset())",
            "'9:00:00'",
        ),
        (
            "import os, shutil, tempfile, pathlib\n"
            "pathlib.Path('a').write_text('글')\nos.chmod('a', 0o640)\nos.utime('a', (1, 2))\n"
            "shutil.copy2('a', 'b')\nos.mkdir('d')\nos.rename('b', 'd/b')\nos.link('a', 'c')\nos.symlink('a', 'l')\n"
            "with tempfile.TemporaryDirectory() as t, tempfile.NamedTemporaryFile() as f: f.write(b'1')\n"
            "s = os.stat('d/b')\noct(s.st_mode & 0o777), s.st_mtime, sorted(os.listdir())",
            "('0o640', 2.0, ['a', 'c', 'd', 'l'])",
        ),
        ("import ctypes\nctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n + 1)(1)", "2"),
        (
            "import subprocess\nsubprocess.run('seq 3 | wc -l', shell=True, capture_output=True, text=True).stdout",
            "'3\\n'",
        ),
    ],
    ids=["numpy", "scipy", "sympy", "sqlite", "threads", "asyncio", "zoneinfo", "files", "callbacks", "subprocess"],
)
async def test_it_works(shown: Shown, code: str, expected: str) -> None:
    assert await shown(code) == expected


@pytest.mark.extras
async def test_matplotlib_and_pandas(shown: Shown) -> None:
    code = """
import matplotlib.pyplot as plt, pandas as pd, os
frame = pd.DataFrame({"가": [1, 2, 3]})
frame.to_csv("a.csv"); frame.to_pickle("a.pkl")
frame["가"].plot(); plt.savefig("a.png")
int(pd.read_csv("a.csv")["가"].sum()), os.path.getsize("a.png") > 1000, plt.get_backend().lower()
"""
    assert await shown(code) == "(6, True, 'agg')"
