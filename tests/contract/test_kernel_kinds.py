"""Which kinds of values a snapshot holds exactly: each is made in a cell, and checked in a restored session."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

MakeRepl = Callable[..., Awaitable[Any]]

# name -> (cell that makes it, cell whose output must be the same before and after)
KINDS = {
    "enum": (
        """
import enum
class Color(enum.Enum):
    RED = 1
    GREEN = 2
    def twice(self): return self.value * 2
class Flags(enum.IntFlag):
    A = enum.auto(); B = enum.auto()
red, both = Color.RED, Flags.A | Flags.B
table = {Color.GREEN: "초록"}
""",
        "red is Color.RED, Color(2).twice(), table[Color.GREEN], both, Color['RED'] is red, list(Color)",
    ),
    "named tuple": (
        """
from collections import namedtuple
from typing import NamedTuple
Old = namedtuple("Old", "a b", defaults=[5])
class New(NamedTuple):
    x: int
    y: str = "기본"
    def both(self): return f"{self.x}{self.y}"
old, new = Old(1), New(2)
""",
        "old, new, new.both(), old.b, type(old) is Old, Old._fields, new._replace(x=9), Old(3)._asdict()",
    ),
    "dataclass": (
        """
from dataclasses import dataclass, field, fields, replace
@dataclass(frozen=True, order=True)
class P:
    x: int
    y: list = field(default_factory=list, compare=False)
@dataclass(slots=True)
class S:
    a: int
p, s, index = P(1, [2]), S(3), {P(1): "frozen"}
""",
        "p, s, index[P(1)], "
        " P(1) < P(2), [f.name for f in fields(P)], replace(p, x=5), s == S(3), hasattr(s, '__dict__')",
    ),
    "class": (
        """
import abc
class Base(abc.ABC):
    registry = []
    def __init_subclass__(cls, **kwargs): Base.registry.append(cls.__name__)
    @abc.abstractmethod
    def area(self): ...
    @property
    def double(self): return self.area() * 2
    @classmethod
    def unit(cls): return cls(1)
    @staticmethod
    def helper(x): return x + 1
class Square(Base):
    __slots__ = ("side",)
    def __init__(self, side): self.side = side
    def area(self): return self.side ** 2
class Meta(type):
    def __call__(cls, *args): return (cls.__name__, super().__call__(*args))
class WithMeta(metaclass=Meta):
    def __init__(self, x): self.x = x
class Proxy:
    def __init__(self, inner): self.inner = inner
    def __getattr__(self, name): return getattr(self.inner, name)
square, bound = Square(3), Square(4).area
class Outer:
    class Inner:
        def who(self): return __class__.__qualname__
inner = Outer.Inner()
""",
        "Base.registry, square.double, Square.unit().area(), Square.helper(1), bound(), WithMeta(1)[0], inner.who(), "
        "isinstance(square, Base), Base.__abstractmethods__",
    ),
    "function": (
        """
import functools
def logged(f):
    @functools.wraps(f)
    def inner(*args):
        inner.calls += 1
        return f(*args)
    inner.calls = 0
    return inner
@logged
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
fib(5)
calls = fib.calls
@functools.cache
def slow(n): return [n]
slow(1); slow(2)
class Tool:
    @functools.lru_cache(maxsize=5)
    def get(self, n): return n
    @functools.cached_property
    def once(self): return [1]
    @functools.singledispatchmethod
    def kind(self, x): return "any"
    @kind.register
    def _(self, x: int): return "int"
tool = Tool(); tool.get(1); tool.once
@functools.singledispatch
def show(x): return "any"
@show.register
def _(x: int): return "int"
three = functools.partial(max, 3, key=lambda x: -x)
def keyword(a, /, b=[1], *, c="다"): return a, b, c
def gen(n):
    for i in range(n): yield i
async def co(): return "awaited"
def annotated(x: "int") -> str: "문서"
compose = lambda *fs: lambda x: functools.reduce(lambda v, f: f(v), fs, x)
inc_twice = compose(lambda x: x + 1, lambda x: x + 1)
even = lambda n: n == 0 or odd(n - 1)
odd = lambda n: n != 0 and even(n - 1)
""",
        "fib(10), calls, fib.__wrapped__.__name__, slow(3), slow.cache_info().hits, tool.get(2), tool.once, three(5), "
        "keyword(1), list(gen(3)), await co(), annotated.__doc__, annotated.__annotations__, inc_twice(1), even(10), "
        "show(1), show('a'), tool.kind(1), tool.kind('a')",
    ),
    "shared cells": (
        """
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    def peek(): return n
    return up, peek
up, peek = counter()
handlers = [(lambda: i) for i in range(3)]
class Account:
    def __init__(self): self.log = []
    def add(self, x, log=None): (log or self.log).append(x); return self
account = Account().add(1)
log = account.log
""",
        "up(), peek(), [h() for h in handlers], account.add(2).log is log, log",
    ),
    "exception": (
        """
import json, subprocess
class Two(Exception):
    def __init__(self, code, why):
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why
class Missing(KeyError): pass
try: json.loads("{")
except ValueError as e: parse = e
try: open("/없음")
except OSError as e: absent = e
try: b"\\xff".decode()
except UnicodeDecodeError as e: decode = e
try: subprocess.run(["false"], check=True)
except subprocess.CalledProcessError as e: called = e
try:
    try: 1 / 0
    except ZeroDivisionError as e: raise Two(7, "까닭") from e
except Two as e:
    e.add_note("메모"); two = e
group = ExceptionGroup("여럿", [two, Missing("열쇠")])
try: None.x
except AttributeError as e: attribute = e
try: import nothing_here
except ImportError as e: module = e
""",
        "parse, parse.pos, parse.doc, "
        "absent, absent.errno, absent.filename, type(absent), decode, decode.start, called, "
        "called.returncode, two, two.code, two.why, two.args, two.__notes__, two.__cause__, two.__suppress_context__, "
        "two.__context__ is two.__cause__, group, group.exceptions[0] is two, attribute, module.name, type(group)",
    ),
    "regex": (
        "import re\nword = re.compile(r'(?P<w>\\w+)', re.I)\nfind = word.findall",
        "word, word.flags, word.match('한글').group('w'), find('a b')",
    ),
    "numbers": (
        """
from decimal import Decimal, localcontext
from fractions import Fraction
big, dec, frac, cplx = 7 ** 500, Decimal("1.10"), Fraction(1, 3), 1 + 2j
odd_floats = [float("inf"), -0.0, float("nan"), 5e-324]
""",
        "big, dec, dec.as_tuple(), frac, cplx, odd_floats",
    ),
    "dates": (
        """
from datetime import *
from zoneinfo import ZoneInfo
import calendar, time, uuid
seoul = datetime(2024, 5, 1, 12, tzinfo=ZoneInfo("Asia/Seoul"))
fold = datetime(2024, 11, 3, 1, 30, fold=1)
fixed = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=9), "KST"))
day, span, clock, moment, ident = date(2024, 2, 29), timedelta(1, 2, 3), time.gmtime(0), datetime.min, uuid.UUID(int=5)
""",
        "seoul, fold.fold, fixed, fixed.tzname(), day, span, clock, moment, ident, seoul.utcoffset()",
    ),
    "containers": (
        """
from collections import *
import array, types, heapq
many = defaultdict(list, a=[1]); nested = defaultdict(lambda: defaultdict(int)); nested["a"]["b"] += 1
count, ordered, ring = Counter("abca"), OrderedDict(b=1, a=2), deque([1, 2, 3], maxlen=3)
chain = ChainMap({"a": 1}, {"b": 2})
class Stack(list):
    def top(self): return self[-1]
class Keyed(dict):
    def __missing__(self, key): return f"?{key}"
stack, keyed = Stack([1, 2]), Keyed(a=1); stack.label = "더미"
raw, cells, view = bytearray(b"abc"), array.array("d", [1.5]), types.MappingProxyType({"a": 1})
space, frozen, big_set = types.SimpleNamespace(a=[1]), frozenset({1, "ㄱ"}), set(range(100))
cut, numbers, nothing, dots, noted = slice(1, None, 2), range(0, 10, 3), None, ..., NotImplemented
keys = {(1, 2): "tuple", frozenset({3}): "set", None: 0, 1.5: 1}
ring.append(4)
""",
        "many['z'], nested['x']['y'], nested['a'], count, ordered, ring, chain, stack.top(), stack.label, keyed['q'], "
        "raw, "
        "cells, view, space, frozen == {1, 'ㄱ'}, sum(big_set), cut, numbers, nothing, dots, noted, keys",
    ),
    "arrays": (
        """
ints = [np.arange(3).astype(t) for t in "?bBhHiIlLqQefdgFDG"]
texts = np.array(["가", "나다"]), np.array([b"x", b"yz"]), np.array([b"ab"], "V2")
dates = np.array(["2024-01-01", "NaT"], "M8[D]"), np.array([5], "m8[ms]")
things = np.array([{"a": 1}, None, "글"], dtype=object); things[1] = things
record = np.zeros(3, dtype=[("a", "i4"), ("b", "f8", (2,)), ("c", "U3")]); record["c"][1] = "한"
rec = np.rec.array([(1, 2.0)], dtype=[("x", int), ("y", float)])
zero, empty, fortran = np.array(3.5), np.zeros((0, 4)), np.asfortranarray(np.arange(6).reshape(2, 3))
swapped, aligned = np.arange(3, dtype=">i8"), np.zeros(2, np.dtype([("a", "i1"), ("b", "i8")], align=True))
large = np.arange(200_000.0).reshape(2, 100_000); large_f = np.asfortranarray(large)
large_dates, large_view = np.arange(20_000).astype("M8[s]"), large[:, ::2]
window, stretched = large_dates[5:9], np.broadcast_to(np.arange(3), (2, 3))
masked = np.ma.array([1, 2, 3], mask=[0, 1, 0])
large_rec = np.rec.array(np.asfortranarray(np.arange(40_000).reshape(200, 200)))
locked = np.arange(4); locked.flags.writeable = False
scalar, strings = np.float32(1.5), np.array(["a", "긴 글"], dtype=np.dtypes.StringDType())
everything = [*ints, *texts, *dates, record, rec, zero, empty, fortran, swapped, aligned, large, large_f, large_dates,
              large_view, window, stretched, locked]
def told(a):
    f = a.flags
    kind = type(a).__name__, str(a.dtype), a.dtype.isalignedstruct
    return kind, a.shape, a.strides, f.writeable, f.owndata or a is rec
""",
        "[told(a) for a in everything], [a.tobytes() for a in everything if a.nbytes < 1000], "
        "large.sum(), large_f.sum(), "
        "things[0], things[1] is things, masked, masked.mask, "
        "large_rec[3, 5], type(large_rec), large_rec.strides, scalar, type(scalar), strings, window, rec.x, "
        "np.shares_memory(large_view, large), np.shares_memory(window, large_dates), zero[()], large.base is None",
    ),
    "random generators": (
        """
import random
own, generator, old = random.Random(5), np.random.default_rng(6), np.random.RandomState(7)
philox = np.random.Generator(np.random.Philox(3))
own.random(); generator.normal(); old.rand(); random.random(); np.random.rand()
""",
        "own.random(), own.gauss(0, 1), generator.normal(), old.rand(), philox.integers(9, size=3), random.random(), "
        "np.random.rand(), own.gauss(0, 1)",
    ),
    "sympy and scipy": (
        """
from sympy import *
from scipy import sparse, stats, interpolate, optimize
x, y = symbols("x y", positive=True)
f = Function("f")
expr, matrix, equation = integrate(sin(x) * exp(-y), x), Matrix([[1, x], [y, 2]]), Eq(f(x).diff(x), f(x))
csr, normal, spline = sparse.csr_matrix(np.eye(3)), stats.norm(1, 2), interpolate.CubicSpline([0, 1, 2], [0, 1, 4])
tree = __import__("scipy.spatial").spatial.cKDTree(np.random.default_rng(0).random((50, 2)))
""",
        "expr, matrix.det(), equation, x is symbols('x', positive=True), csr.toarray(), "
        "normal.cdf(1), float(spline(1.5)), "
        "tree.query([0.5, 0.5])[1], diff(expr, x)",
    ),
    "scipy objects": (
        """
from scipy import fft, integrate, linalg, ndimage, optimize, signal, sparse, spatial, stats
solved = optimize.minimize(lambda x: (x[0] - 1) ** 2, [0.0])
root = optimize.root_scalar(lambda x: x - 2, bracket=[0, 5])
shapes = [sparse.csr_array(np.eye(3)), sparse.coo_matrix(np.eye(2)), sparse.lil_array((2, 2)), sparse.dok_array((2, 2))]
turned, tree = spatial.transform.Rotation.from_euler("z", 90, degrees=True), spatial.KDTree(np.eye(3))
frozen, fit, test = stats.gamma(2.0), stats.linregress([0, 1, 2], [1, 3, 5]), stats.ttest_ind([1, 2, 3], [2, 3, 5])
kde, ode = stats.gaussian_kde([1.0, 2.0, 4.0]), integrate.solve_ivp(lambda t, y: -y, (0, 1), [1.0])
system, factors = signal.TransferFunction([1], [1, 2]), linalg.lu_factor(np.eye(2) + 1)
""",
        "solved.x.round(3), root.root, [s.toarray().tolist() for s in shapes], turned.apply([1, 0, 0]).round(6), "
        "tree.query([1, 0, 0]), frozen.mean(), fit.slope, test.pvalue, kde(2.0), ode.y[0, -1], system.num, factors, "
        "[type(s).__name__ for s in shapes]",
    ),
    "memoryviews": (
        """
import array
raw, doubles, grid = bytearray(b"abcdefgh"), array.array("d", [1.5, 2.5, 3.5]), np.arange(6).reshape(2, 3)
whole, part, steps, fixed = memoryview(raw), memoryview(raw)[2:6], memoryview(raw)[1::2], memoryview(b"xyz")[1:]
numbers, rows, cast = memoryview(doubles)[1:], memoryview(grid), memoryview(raw).cast("H")[1:]
square, hidden, empty = memoryview(raw).cast("B", (2, 4)), memoryview(raw).toreadonly(), memoryview(b"")
everything = [whole, part, steps, fixed, numbers, rows, cast, square, hidden, empty]
fields = memoryview(np.zeros(2, [("a", "i4"), ("b", "f8")]))
""",
        "raw.__setitem__(3, 90), grid.__setitem__((1, 1), 70), doubles.__setitem__(2, 9.0), "
        "[(v.tolist(), v.format, v.shape, v.readonly, v.strides) for v in everything], whole.obj is raw, "
        "rows.obj is grid, part.__setitem__(0, 89), raw, fields.format, fields.nbytes",
    ),
    "modules and files of text": (
        """
import os.path, json as j, xml.etree.ElementTree as ET, io, pathlib, string, itertools, operator, logging
tree = ET.fromstring("<a><b x='1'>글</b></a>")
buffer, binary, path = io.StringIO("abc"), io.BytesIO(b"xyz"), pathlib.Path("/a/b.txt")
buffer.read(1); binary.read(2)
template, pick, get, numbers = string.Template("$a"), operator.itemgetter(1), operator.attrgetter("real"), iter([5, 6])
logger = logging.getLogger("내 것"); next(numbers)
""",
        "os.path.join('a', 'b'), j.dumps([1]), ET.tostring(tree, 'unicode'), buffer.read(), binary.read(), path.stem, "
        "template.substitute(a=1), pick([1, 2]), get(5), next(numbers), logger is logging.getLogger('내 것')",
    ),
    "weak references": (
        """
import weakref
class Thing: pass
thing = Thing(); live, dead = weakref.ref(thing), weakref.ref(Thing())
keyed, valued = weakref.WeakKeyDictionary({thing: 1}), weakref.WeakValueDictionary({1: thing})
""",
        "live() is thing, dead(), keyed[thing], valued[1] is thing, len(keyed)",
    ),
    "typing": (
        """
from typing import *
T = TypeVar("T")
class Box(Generic[T]):
    def __init__(self, item: T): self.item = item
class Shape(TypedDict): side: int
class Area(Protocol):
    def area(self) -> float: ...
Alias, Union_ = dict[str, list[int]], int | None
box: Box[int] = Box(5)
weak = __import__("weakref").ref
""",
        "box.item, Box[int], Shape(side=1), Alias, Union_, Shape.__annotations__, isinstance(box, Box)",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kind_comes_back_as_it_was(kind: str, make_repl: MakeRepl) -> None:
    code, check = KINDS[kind]
    first = await make_repl(seed=1)
    await first.shown(code)
    taken = await first.snapshot()
    assert taken.lost == ()
    # Twice, since what is loaded must also be saved as what it was.
    second = await make_repl(taken, fresh_answer=False)
    third = await make_repl(await second.snapshot(), fresh_answer=False)
    assert second.lost == third.lost == ()
    shown = await first.shown(check)
    assert await second.shown(check) == shown
    assert await third.shown(check) == shown


@pytest.mark.extras
async def test_pandas_objects_come_back_as_they_were(make_repl: MakeRepl) -> None:
    code = """
import pandas as pd
frame = pd.DataFrame({"a": [1, 2, None], "b": ["가", "나", None], "c": pd.date_range("2024", periods=3)})
wide = pd.DataFrame(np.random.default_rng(0).random((20_000, 4)), columns=list("wxyz"))
cats, series, groups = pd.Series(list("aab"), dtype="category"), frame["a"], frame.groupby("b")
alias = frame
"""
    check = """
print(frame, wide.sum(), cats.dtype, series.mean(), groups.size(), alias is frame)
frame.loc[0, "a"] = 7; wide.loc[0, "w"] = 1; print(frame, wide.head(1))
"""
    first = await make_repl()
    await first.shown(code)
    taken = await first.snapshot()
    assert taken.lost == ()
    second = await make_repl(taken, fresh_answer=False)
    assert await second.shown(check) == await first.shown(check)


async def test_ten_thousand_levels_come_back(make_repl: MakeRepl) -> None:
    code = """
lists, dicts, tuples = None, None, None
for i in range(10_000): lists, dicts, tuples = [lists], {"k": dicts}, (tuples,)
class Node:
    def __init__(self, after): self.after = after
chain = None
for i in range(10_000): chain = Node(chain)
"""
    check = """
def vars_after(x): return x.after
def depth(x, step):
    n = 0
    while x is not None: x, n = step(x), n + 1
    return n
depth(lists, lambda x: x[0]), depth(dicts, lambda x: x["k"]), depth(tuples, lambda x: x[0]), depth(chain, vars_after)
"""
    first = await make_repl()
    await first.shown(code)
    taken = await first.snapshot()
    assert taken.lost == ()
    second = await make_repl(taken, fresh_answer=False)
    assert await second.shown(check) == "(10000, 10000, 10000, 10000)\n"


async def test_deep_structures_keep_what_they_share(make_repl: MakeRepl) -> None:
    code = """
from dataclasses import dataclass
@dataclass(slots=True)
class Slotted:
    inside: object
    other: object = None
class Ring:
    def __init__(self): self.before = self.after = self
def mixed(shared):
    value = shared
    for i in range(2_000): value = Slotted([{"k": (value, {i})}], shared)
    return value
shared, array = ["글"], np.arange(100_000.0)
ring = Ring()
for i in range(5_000):
    new = Ring(); new.before, new.after = ring, ring.after
    ring.after.before = new; ring.after = new
first, second, text = mixed(shared), mixed(array[::2]), "긴 글" * 50_000
holder = Slotted(first, lambda: (text, array)); deepest = second
for i in range(3_000): deepest = lambda deepest=deepest: deepest
"""
    check = """
def bottom(value):
    n = 0
    while isinstance(value, Slotted): value, n = value.inside[0]["k"][0], n + 1
    return value, n
def around(ring):
    node, n, ok = ring.after, 1, True
    while node is not ring: node, n, ok = node.after, n + 1, ok and node.after.before is node
    return n, ok
down = deepest
while callable(down): down = down()
print(bottom(first)[0] is shared is first.other, bottom(first)[1], around(ring), holder.inside is first)
print(bottom(second)[0].base is array, down is second, holder.other()[0] is text, len(text), holder.other()[1] is array)
"""
    repl = await make_repl()
    await repl.shown(code)
    taken = await repl.snapshot()
    assert taken.lost == ()
    assert (await repl.snapshot()).size < 20_000
    second = await make_repl(taken, fresh_answer=False)
    expected = "True 2000 (5001, True) True\nTrue True True 150000 True\n"
    assert await second.shown(check) == expected
    third = await make_repl(await second.snapshot(), fresh_answer=False)
    assert await third.shown(check) == expected


async def test_deep_values_kill_no_worker(make_repl: MakeRepl) -> None:
    repl = await make_repl(history=[{"turn": 1}])
    code = """
def nested(levels):
    value = []
    for i in range(levels): value = [value]
    return value
deep, deeper, pairs = nested(10_000), nested(1_000_000), None
for i in range(300_000): pairs = {"a": pairs}
class Endless:
    def __reduce__(self): return self.__reduce__()
endless = Endless()
answer["content"] = deep; history.append(deeper); messages.append(deep); ok = 1
def same(a, b):
    try: return a == b
    except RecursionError: return "RecursionError"
same(deep, nested(10_000)), same(deeper, nested(1_000_000))
"""
    assert "RecursionError" in await repl.shown(code)
    taken = await repl.snapshot()
    assert {loss["name"] for loss in taken.lost} >= {"deeper", "pairs", "endless", "history"}
    assert not {"deep", "messages", "ok"} & {loss["name"] for loss in taken.lost}
    second = await make_repl(taken, fresh_answer=False)
    assert await second.shown("ok, messages[-1] is deep, show_vars() and 1") == "(1, True, 1)\n"
    assert "nested too deep" in {loss["name"]: loss["why"] for loss in second.lost}["deeper"]


async def test_what_cannot_be_held_is_named_and_costs_nothing_else(make_repl: MakeRepl) -> None:
    code = """
import threading, socket, re, sys, weakref, concurrent.futures, asyncio
class Refuses:
    def __reduce__(self): raise TypeError("싫어")
class Leaves:
    def __reduce__(self): sys.exit(3)
class Deep:
    def __getattr__(self, name): return getattr(self.inner, name)
class Late:
    def __init__(self): self.ok = True
    def __setstate__(self, state): helper(self)
class Key:
    def __init__(self, n): self.n = n
    def __hash__(self): return hash(self.n)
    def __eq__(self, other): return self.n == other.n
class Strict(Exception):
    def __new__(cls, *, code): return super().__new__(cls)
    def __init__(self, *, code): pass
def helper(x): raise RuntimeError("아직")
lock, sock, match = threading.Lock(), socket.socketpair()[0], re.match("a", "a")
pool = concurrent.futures.ThreadPoolExecutor()
frame, refuses, leaves, late, strict = sys._getframe(), Refuses(), Leaves(), Late(), Strict(code=1)
import mmap
mapped, backwards = memoryview(mmap.mmap(-1, 10, flags=mmap.MAP_PRIVATE)), memoryview(b"abc")[::-1]
knot = Key(1); knot.inside = {knot: 1}
coroutine = asyncio.sleep(0); coroutine.close()
good, shared = [1], {"good": 1}
holder = {"good": good, "lock": threading.Lock()}
deep = Deep(); deep.inner = [1]
"""
    first = await make_repl()
    await first.shown(code)
    taken = await first.snapshot()
    why = {loss["name"]: loss["why"] for loss in taken.lost}
    fails = {
        "lock",
        "sock",
        "match",
        "pool",
        "frame",
        "refuses",
        "leaves",
        "late",
        "strict",
        "coroutine",
        "deep",
        "mapped",
        "backwards",
    }
    assert fails | {"holder"} <= set(why) <= fails | {"holder", "knot"}
    assert "싫어" in why["refuses"]
    assert "아직" in why["late"]
    assert "_thread.lock" in why["holder"]
    second = await make_repl(taken, fresh_answer=False)
    assert await second.shown("holder['good'] is good, good, shared") == "(True, [1], {'good': 1})\n"
    assert {loss["name"] for loss in second.lost} == fails - {"knot"} | (set(why) & {"knot"})
