"""What any kernel keeps beside the variables: the files of its scratch directory, warnings filters, where it stands."""

from collections.abc import Awaitable, Callable
from typing import Any

from rlm_agent.settings import Limits

MakeRepl = Callable[..., Awaitable[Any]]
OFF = Limits(sandbox="off")
"""The sandbox lets no cell change modes and times or make sockets and pipes."""

MAKE = """
import os, stat, socket
os.makedirs("a/빈 것/c"); os.chmod("a", 0o750)
open("a/글.txt", "w").write("한글\\n" * 10)
open("a/empty", "w").close()
open("large.bin", "wb").write(np.random.default_rng(0).bytes(3_000_000))
open("a/run.sh", "w").write("#!/bin/sh\\n"); os.chmod("a/run.sh", 0o4755)
open(b"a/\\xff name", "wb").write(b"odd")
os.symlink("a/글.txt", "relative"); os.symlink(os.path.abspath("a"), "absolute"); os.symlink("nowhere", "dangling")
os.link("large.bin", "second name"); os.utime("large.bin", ns=(5, 1_000_000_007))
held = open("held.txt", "w"); held.write("not flushed")
"""
LOOK = """
import hashlib, os
def look(path):
    s = os.lstat(path)
    what = os.path.islink(path) or os.path.isdir(path) or hashlib.sha256(open(path, "rb").read()).hexdigest()
    return path, oct(s.st_mode), what, os.path.isdir(path) or os.path.islink(path) or s.st_mtime_ns
paths = sorted(os.path.join(top, name) for top, dirs, files in os.walk(b".") for name in dirs + files)
print(*map(look, paths), sep="\\n")
print(os.readlink("relative"), os.path.realpath("absolute") == os.path.realpath("a"), os.readlink("dangling"))
print(os.path.samefile("large.bin", "second name"), open("held.txt").read())
"""


async def test_the_files_come_back(make_repl: MakeRepl) -> None:
    first = await make_repl(limits=OFF)
    await first.shown(MAKE)
    taken = await first.snapshot()
    assert [loss["name"] for loss in taken.lost] == ["held"]
    before = (await first.shown(LOOK)).replace("0o104755", "0o100755")
    second = await make_repl(taken, limits=OFF, fresh_answer=False)
    third = await make_repl(await second.snapshot(), limits=OFF, fresh_answer=False)
    assert await second.shown(LOOK) == before
    assert await third.shown(LOOK) == before
    assert before.endswith("True not flushed\n")
    assert "0o40750" in before


async def test_the_files_come_back_in_the_sandbox(make_repl: MakeRepl) -> None:
    code = """
import os
os.makedirs("a/빈 것/c", 0o750)
open("a/글.txt", "w").write("한글" * 10); open("large", "wb").write(bytes(range(256)) * 1000)
os.close(os.open("a/run.sh", os.O_CREAT | os.O_WRONLY, 0o755)); os.symlink("a", "link")
"""
    check = """
import hashlib, os
def look(path): return path, oct(os.lstat(path).st_mode), os.path.isdir(path) or open(path, "rb").read(9)
sorted(look(os.path.join(top, name)) for top, dirs, files in os.walk(".") for name in dirs + files)
"""
    first = await make_repl()
    await first.shown(code)
    second = await make_repl(await first.snapshot(), fresh_answer=False)
    assert second.lost == ()
    shown = await first.shown(check)
    assert await second.shown(check) == shown
    assert "('./a/빈 것/c', '0o40" in shown


async def test_what_is_no_file_of_its_own_is_named(make_repl: MakeRepl) -> None:
    repl = await make_repl(limits=Limits(disk_mb=1, sandbox="off"))
    code = """
import os, socket
os.mkfifo("pipe"); os.symlink("/etc/passwd", "out"); os.symlink("../..", "up")
door = socket.socket(socket.AF_UNIX); door.bind("door")
open("a fits", "wb").write(bytes(700_000)); open("b does not", "wb").write(bytes(700_000))
open("c fits", "wb").write(bytes(300_000))
"""
    await repl.shown(code)
    taken = await repl.snapshot()
    why = {loss["name"]: (loss["type"], loss["why"]) for loss in taken.lost if loss["name"] != "door"}
    assert set(why) == {"./pipe", "./out", "./up", "./door", "./b does not"}
    assert {kind for kind, _why in why.values()} == {"file"}
    assert "Limits.disk_mb" in why["./b does not"][1]
    assert "leads out of the scratch directory, to '/etc/passwd'" in why["./out"][1]
    second = await make_repl(taken, fresh_answer=False)
    assert {loss["name"] for loss in second.lost} == {*why, "door"}
    assert await second.shown("import os\nsorted(os.listdir('.'))") == "['a fits', 'c fits']\n"


async def test_many_lost_files_are_counted(make_repl: MakeRepl) -> None:
    repl = await make_repl(limits=OFF)
    await repl.shown("import os\nfor i in range(200): os.mkfifo(f'p{i:03}')")
    lost = (await repl.snapshot()).lost
    assert [loss["name"] for loss in lost] == [*(f"./p{i:03}" for i in range(50)), "./ and 150 more"]


async def test_files_cost_what_changed(make_repl: MakeRepl) -> None:
    repl = await make_repl()
    code = """
import os
for i in range(300): open(f"small{i}", "wb").write(os.urandom(5000))
open("large", "wb").write(os.urandom(20_000_000))
"""
    await repl.shown(code)
    assert (await repl.snapshot()).size > 21_000_000
    assert (await repl.snapshot()).size < 10_000
    session = repl
    for turn in range(2):
        session = await session.restored()
        await session.shown("f = open('large', 'r+b'); f.seek(5_000_000); f.write(b'new'); f.close()")
        assert (await session.snapshot()).size < 1_100_000
        await session.shown(f"open('small7', 'ab').write(b'more'); os.remove('small{turn}')")
        # Two places in the row of small files, up to two chunks of 64 KB each.
        assert (await session.snapshot()).size < 280_000
    assert await (await session.restored()).shown("open('large', 'rb').read()[5_000_000:][:3], len(os.listdir())") == (
        "(b'new', 299)\n"
    )


async def test_a_change_that_its_times_hardly_tell_is_seen(make_repl: MakeRepl) -> None:
    repl = await make_repl(limits=OFF)
    # Written long ago, as far as their times go; pages that are mapped and dirty take further writes unseen.
    code = """
open("x", "wb").write(b"1" * 100_000); open("y", "w").write("1")
mapped, short = np.memmap("m", "u1", "w+", shape=100_000), np.memmap("s", "u1", "w+", shape=10)
mapped[5] = short[5] = 1
import os, time
time.sleep(2.6)
"""
    await repl.shown(code)
    await repl.snapshot()
    change = """
mapped[5] += 7; short[5] += 7
was = os.stat("x"), os.stat("y")
with open("x", "r+b") as f: f.write(b"2")
with open("y", "r+") as f: f.write("2")
for name, s in zip("xy", was): os.utime(name, ns=(s.st_atime_ns, s.st_mtime_ns))
"""
    await repl.shown(change)
    second = await make_repl(await repl.snapshot(), limits=OFF, fresh_answer=False)
    contents = "[open(name, 'rb').read()[5 * (name in 'ms')] for name in 'xyms']"
    assert await second.shown(contents) == "[50, 50, 8, 8]\n"
    # Again and again within one tick.
    for turn in range(3):
        await repl.shown(f"f = open('x', 'r+'); f.write('{turn}'); f.close(); open('y', 'w').write('{turn}')")
        third = await make_repl(await repl.snapshot(), limits=OFF, fresh_answer=False)
        assert await third.shown("open('x').read(1), open('y').read()") == f"('{turn}', '{turn}')\n"
        await third.close()


async def test_warnings_filters_and_the_working_directory_come_back(make_repl: MakeRepl) -> None:
    code = """
import os, warnings
class 경고(UserWarning): pass
warnings.filterwarnings("error", "나쁜.*", 경고)
warnings.simplefilter("ignore", DeprecationWarning)
class Gone(UserWarning): pass
warnings.simplefilter("error", Gone); del Gone
os.makedirs("deep/er"); os.chdir("deep/er"); open("here", "w").close()
"""
    check = """
def raised(text, kind):
    try: warnings.warn(text, kind)
    except Warning as error: return type(error).__name__
print(raised("나쁜 일", 경고), raised("x", DeprecationWarning), os.path.basename(os.getcwd()), os.listdir("."))
print(len([f for f in warnings.filters if f[2].__name__ != "Gone"]))
"""
    first = await make_repl()
    await first.shown(code)
    taken = await first.snapshot()
    assert [(loss["name"], loss["type"][:7]) for loss in taken.lost] == [("warnings.filters", "filter ")]
    second = await make_repl(taken, fresh_answer=False)
    shown = await first.shown(check)
    assert shown.startswith("경고 None er ['here']\n")
    assert await second.shown(check) == shown
    assert (await second.snapshot()).lost == ()
