"""What any kernel makes of the clock and of random bytes: a cell that runs again reads and draws the same."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rlm_agent.repl.kernel import MOST_READINGS, CellPaused

MakeRepl = Callable[..., Awaitable[Any]]

SEED, OTHER = "a" * 64, "b" * 64
DRAWS = """
import os, random, secrets, tempfile, uuid
from uuid import uuid4
print(uuid4(), uuid.uuid4(), os.urandom(5), os.getrandom(3), secrets.token_hex(4), secrets.choice(range(10**9)))
print(random.SystemRandom().random(), np.random.default_rng().random(), random.Random().random(), end=" ")
random.seed(); np.random.seed()
print(random.random(), np.random.rand(), tempfile.mkstemp()[1].rpartition("/")[2])
"""
READS = """
import time, datetime as d
from datetime import datetime, timezone, timedelta
from time import time as t
def reads():
    kst = timezone(timedelta(hours=9))
    return [time.time(), t(), time.time_ns(), datetime.now(), datetime.now(kst), datetime.now(tz=timezone.utc),
            datetime.today(), d.date.today(), time.localtime(), time.gmtime(), time.ctime(), time.asctime(),
            time.strftime("%Y %H:%M:%S"), time.clock_gettime(time.CLOCK_REALTIME),
            time.clock_gettime_ns(time.CLOCK_REALTIME)]
"""


async def test_random_bytes_are_those_of_the_seed(make_repl: MakeRepl) -> None:
    first, second = await make_repl(), await make_repl()
    drawn = (await first.done(DRAWS, seed=SEED)).output
    assert (await second.done(DRAWS, seed=SEED)).output == drawn
    assert len(set(drawn.split())) == len(drawn.split())
    others = [(await first.done(DRAWS, seed=OTHER)).output, await first.shown(DRAWS), await second.shown(DRAWS)]
    words = [set(output.split()) for output in (drawn, *others)]
    assert all(not one & other for one in words for other in words if one is not other)


async def test_a_forked_child_draws_bytes_of_its_own(make_repl: MakeRepl) -> None:
    code = """
import os, time, warnings
warnings.simplefilter("ignore")
def child():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, os.urandom(4).hex().encode() + b" %d" % (time.time() < 10)); os._exit(0)
    os.wait()
    return os.read(reader, 100).decode()
child(), child(), os.urandom(4).hex(), time.time() < 10
"""
    readings = range(1, 9)
    outputs = [(await (await make_repl()).done(code, seed=SEED, readings=readings)).output for _ in range(2)]
    assert outputs[0] == outputs[1]
    one, two, own, told = eval(outputs[0])
    assert len({one.split()[0], two.split()[0], own}) == 3
    # A child reads the real clock.
    assert (one[-1], two[-1], told) == ("0", "0", True)


async def test_a_cell_reads_the_clock_as_it_was_recorded(make_repl: MakeRepl) -> None:
    code = READS + "print(reads())\nllm_batch(['x'])\nprint(reads())\nllm_batch(['y'])\nprint(time.time())"
    first = await make_repl()
    stretches: list[tuple[int, ...]] = []

    async def run(repl: Any, recorded: list[tuple[int, ...]]) -> tuple[list[tuple[int, ...]], list[str]]:
        read, event = list[tuple[int, ...]](), await repl.execute(code, seed=SEED, readings=(*recorded, ())[0])
        while isinstance(event, CellPaused):
            read.append(event.readings)
            later = recorded[len(read)] if len(read) < len(recorded) else ()
            event = await repl.answer({r.id: [{"text": "a"}] for r in event.requests}, later)
        assert event.error is None, event.error
        return [*read, event.readings], event.output.splitlines()

    stretches, shown = await run(first, [])
    assert [len(stretch) for stretch in stretches] == [15, 15, 1]
    assert sorted(sum(stretches, ())) == list(sum(stretches, ()))
    # All of it is known; only what was read before the first answer; nothing.
    again, output = await run(await make_repl(), stretches)
    assert (again, output) == (stretches, shown)
    again, output = await run(await make_repl(), stretches[:1])
    assert (again[0], output[0]) == (stretches[0], shown[0])
    assert again[1] != stretches[1]
    assert output[1:] != shown[1:]


async def test_what_was_read_belongs_to_the_request_after_it(make_repl: MakeRepl) -> None:
    repl = await make_repl()
    code = """
import time
time.time()
try: llm_batch([{"prompt": "x", "schema": {"a": object()}}])
except TypeError: pass
time.time()
llm_batch(["y"])
"""
    event = await repl.execute(code)
    assert isinstance(event, CellPaused)
    assert len(event.readings) == 2


async def test_a_cell_may_read_more_than_is_recorded(make_repl: MakeRepl) -> None:
    repl = await make_repl()
    code = f"import time\nlast = [time.time() for _ in range({MOST_READINGS + 50_000})][-1]\nprint(time.time() >= last)"
    done = await repl.done(code)
    assert done.output == "True\n"
    assert len(done.readings) == MOST_READINGS
    replayed = await repl.done(code, readings=range(MOST_READINGS))
    assert (replayed.output, len(replayed.readings)) == ("True\n", MOST_READINGS)


async def test_the_clock_is_as_good_as_the_real_one(make_repl: MakeRepl) -> None:
    repl = await make_repl()
    code = (
        READS
        + """
import pickle, copy, logging, inspect, os, random
class Mine(datetime):
    def __new__(cls, *args, **kw): return super().__new__(cls, *args, **kw)
class Timer:
    clock = time.time
    local = time.localtime
    day = datetime.now
now, mine = datetime.now(), Mine.now(timezone.utc)
assert type(now) is datetime and type(mine) is Mine and isinstance(mine, datetime)
assert type(Mine.utcnow()) is Mine and Mine.utcnow().tzinfo is None and type(Mine.today()) is Mine
assert abs(Timer().clock() - time.time()) < 5 and Timer().local()[0] == Timer().day().year
assert pickle.loads(pickle.dumps(now)) == now and pickle.loads(pickle.dumps(time.time)) is time.time
assert datetime.now == datetime.now != Mine.now and inspect.signature(datetime.now) and datetime.now().now().year > 2000
assert copy.deepcopy([time.time, datetime.now])[0] is time.time
assert repr(time.time) == "<built-in function time>" and callable(time.time)
assert abs((datetime.now(timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds() - time.time()) < 5
assert time.gmtime(0)[0] == 1970 and time.localtime(86400 * 365)[0] == 1971 and time.ctime(0)[-4:] == "1970"
assert time.strftime("%Y", time.gmtime(0)) == "1970" and time.asctime(time.gmtime(0))[-4:] == "1970"
assert time.monotonic() != time.time() and np.datetime64(datetime.now(), "us").astype(datetime) <= datetime.now()
for wrong in (lambda: datetime.now("UTC"), lambda: time.localtime("x"), lambda: os.urandom("x"), lambda: time.time(1)):
    try: wrong()
    except TypeError: pass
    else: raise AssertionError(inspect.getsource(wrong))
logging.Formatter().formatTime(logging.makeLogRecord({}))
assert type(random.Random(5).random()) is float and random.Random(5).random() == random.Random(5).random()
assert len(os.urandom(0)) == 0 and len(random.SystemRandom().randbytes(7)) == 7
started, draw, stamp = time.time, os.urandom, datetime.now
def later(): return t(), started(), draw(2), stamp()
"""
    )
    await repl.shown(code)
    taken = await repl.snapshot()
    assert taken.lost == ()
    second = await make_repl(taken, fresh_answer=False)
    done = await second.done("print(later())\nprint(time.time is started is t, os.urandom is draw)", readings=(1, 2, 3))
    assert done.output.startswith("(1e-09, 2e-09, b")
    assert done.output.endswith("True True\n")
    assert done.readings == (1, 2, 3)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="python: it is not deprecated before 3.12")
async def test_what_is_deprecated_says_so_at_the_cells_line(make_repl: MakeRepl) -> None:
    repl = await make_repl()
    shown = await repl.shown("from datetime import datetime\nx = datetime.utcnow()")
    assert shown.startswith("<cell 1>:2: DeprecationWarning: datetime.datetime.utcnow() is deprecated")


async def test_the_worker_itself_reads_the_real_clock(make_repl: MakeRepl) -> None:
    repl = await make_repl()
    done = await repl.done("import time\ntime.sleep(0.2)\nx = time.time()", readings=(5,))
    assert 0.2 <= done.seconds < 60
    assert done.readings == (5,)
    # Between cells nothing is recorded, and a thread that lives on disturbs no later cell.
    await repl.done("import threading\nthreading.Thread(target=lambda: [time.time() for _ in range(10**6)]).start()")
    await repl.snapshot()


@pytest.mark.extras
async def test_pandas_reads_the_recorded_clock(make_repl: MakeRepl) -> None:
    repl = await make_repl()
    code = "import pandas as pd\npd.Timestamp.now(), pd.Timestamp.now('UTC'), pd.Series([pd.Timestamp.today()])[0].year"
    # The import reads the clock, too.
    done = await repl.done(code, readings=[86400 * 10**9] * 20)
    assert done.output.startswith("(Timestamp('1970-01-02 ")
    assert "1970-01-02 00:00:00+0000" in done.output
    assert done.output.endswith("1970)\n")
