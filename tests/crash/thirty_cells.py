"""The thirty cells of the run that the crash suite kills: variables of every kind, and six batches of fifty sub-calls.

Each cell builds on those before, through aliases, views, closures and classes: what came back wrong shows in the end.
"""

from fingerprint import CELL

__all__ = ["CELLS"]


def batch(name: str) -> str:
    """Fifty sub-calls, five of them sub-agents with tools: three model calls and two tool calls each."""
    return f"""
{name} = llm_batch([{{"prompt": f"{name} 항목 {{i}}", "tools": ["measure"] if i % 10 == 0 else []}} for i in range(50)])
{name}_words = [str(reply) for reply in {name}]
{name}_draw = (random.random(), float(np.random.random()))
"""


CELLS = [
    CELL + "\nimport random\nrandom.seed(3)\nnp.random.seed(5)",
    """
shared = ["a", {"n": 1}]
alias, nested = shared, {"one": shared, "two": [shared, shared]}
ring = [1, 2]
ring.append(ring)
loop = {}; loop["self"] = loop; loop["ring"] = ring
""",
    """
def scaled(x):
    return scale * x
def chain(x):
    return later(x) + 1
scale = 2
before_later = "chain needs a function that comes with the next cell"
""",
    batch("first"),
    """
import functools
def later(x):
    return scaled(x) * 10
def counter():
    n = 0
    def step():
        nonlocal n
        n += 1
        return n
    def look():
        return n
    return step, look
step, look = counter()
step(); step()
add = lambda a, b=3, *, c=4: a + b + c
half = functools.partial(add, 1, c=half_c) if "half_c" in globals() else functools.partial(add, 1, c=5)
def loud(function):
    @functools.wraps(function)
    def inner(*args):
        return str(function(*args)).upper()
    return inner
@loud
def named(x):
    return f"named {x}"
def fact(n):
    return 1 if n < 2 else n * fact(n - 1)
@functools.cache
def slow(n):
    return n * scale
slow(4)
""",
    """
import dataclasses, enum, collections, typing
class Base:
    made = []
    def __init__(self, v):
        self.v = v
        Base.made.append(self)
    def tell(self):
        return f"base {self.v}"
class Child(Base):
    def tell(self):
        return super().tell() + " child"
    @property
    def twice(self):
        return self.v * 2
    @staticmethod
    def still(x):
        return x
    @classmethod
    def of(cls, v):
        return cls(v)
kid = Child.of(shared)
@dataclasses.dataclass
class Point:
    x: int
    y: list = dataclasses.field(default_factory=list)
class Colour(enum.Enum):
    RED = 1
    BLUE = "b"
Pair = collections.namedtuple("Pair", "left right")
class Typed(typing.NamedTuple):
    name: str
    size: int = 3
point, colour, pair, typed = Point(1, shared), Colour.BLUE, Pair(1, ring), Typed("t")
bound = kid.tell
""",
    """
import re, math
import numpy.linalg as la
try:
    {}["missing"]
except KeyError as e:
    err = e
class Odd(Exception):
    pass
odd = Odd("x", 3)
odd.extra = shared
pattern = re.compile(r"(\\w+)-(\\d+)", re.I)
words = collections.Counter(m.group(1) for m in pattern.finditer("a-1 B-2 a-3"))
""",
    """
grid = np.arange(12.0).reshape(3, 4)
row, column, back = grid[1], grid[:, 2], grid[::-1]
fortran = np.asfortranarray(np.arange(6).reshape(2, 3))
zero = np.array(3.5)
objects = np.array([shared, None, "x"], dtype=object)
records = np.array([(1, 2.5, b"ab"), (2, 3.5, b"cd")], dtype=[("a", "i4"), ("b", "f8"), ("c", "S2")])
flags, texts = np.array([True, False]), np.array(["가", "b"])
halves, times = np.float16([1, 2]), np.array(["2024-01-01", "NaT"], dtype="M8[D]")
""",
    batch("second"),
    """
x, y = sympy.symbols("x y")
expression = sympy.expand((x + y) ** 5)
solved = sympy.solve(x ** 2 - 2, x)
import scipy.sparse, scipy.interpolate
sparse = scipy.sparse.csr_matrix(np.eye(5))
spline_values = scipy.interpolate.CubicSpline([0, 1, 2], [0, 1, 4])(np.linspace(0, 2, 5))
rotation = scipy.spatial.transform.Rotation.from_euler("z", 90, degrees=True).as_matrix()
""",
    """
import decimal, datetime, fractions, uuid
own_random, own_numpy = random.Random(11), np.random.default_rng(13)
own_random.random(); own_numpy.random()
decimal.getcontext().prec = 40
third = decimal.Decimal(1) / 3
day = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)
span, ratio = datetime.timedelta(days=3), fractions.Fraction(1, 3)
queue = collections.deque([1, shared], maxlen=5)
ordered, default = collections.OrderedDict(b=1, a=2), collections.defaultdict(list, {"k": [1]})
""",
    """
try:
    import pandas
    frame = pandas.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
except ImportError:
    frame = None
""",
    """
long_text = "질문과 대답 " * 30_000
long_alias = long_text
blob = bytes(range(256)) * 1_000
parts = [long_text, {"again": long_text}]
big = own_numpy.random(50_000)
window = big[100:200]
""",
    batch("third"),
    """
deep = []
for _ in range(10_000):
    deep = [deep]
tree = {"leaf": 0}
for n in range(500):
    tree = {"n": n, "below": tree, "shared": shared}
""",
    """
grid[1, :] = 7
shared.append("changed")
objects[1] = shared
point.x += 1
queue.append(shared)
""",
    """
step()
kid.other = Child(2)
Base.made.append("by hand")
draws = [random.random(), own_random.random(), float(own_numpy.random()), float(np.random.normal())]
results = [chain(3), half(), named("n"), fact(10), slow(4), look(), kid.tell(), bound()]
""",
    """
def scaled(x):
    return scale * x + 1
scale = 5
results.append(chain(3))
""",
    batch("fourth"),
    """
class Grandchild(Child):
    def tell(self):
        return super().tell() + " grand"
grand = Grandchild("g")
methods = [kid.tell, grand.tell, Child.still]
results.append([method() for method in methods[:2]])
""",
    """
kept = "assigned before the exception"
shared.append("before the exception")
raise ValueError("this turn fails")
""",
    """
told = tell("한 번만")
history_length = len(history)
""",
    """
polynomial = sympy.Poly(expression.subs(y, 1), x)
coefficients = [int(c) for c in polynomial.all_coeffs()]
matrix = sympy.Matrix([[1, x], [x, 1]])
""",
    batch("fifth"),
    """
big[150] = -1.0
window_value = float(window[50])
""",
    """
del loop, tree
long_text = long_text[:100]
""",
    """
def patched(self):
    return f"patched {self.v}"
Base.tell = patched
results.append(kid.tell())
kept_types = {Base: 1, Colour: 2, Point: 3}
""",
    batch("sixth"),
    """
relations = [alias is shared, nested["two"][0] is shared, ring[2] is ring, objects[1] is shared, kid.v is shared,
             point.y is shared, pair.right is ring, np.shares_memory(grid, row), np.shares_memory(grid, column),
             np.shares_memory(big, window), parts[0] is parts[1]["again"], long_alias is parts[0],
             type(grand).__mro__[2] is Base, methods[0].__self__ is kid, odd.extra is shared, queue[1] is shared,
             step() == look(), isinstance(err, KeyError), isinstance(kid, Base), Colour("b") is colour]
""",
    """
depth, walk = 0, deep
while walk:
    depth, walk = depth + 1, walk[0]
answer["content"] = {"relations": relations, "results": results, "draws": draws, "row": row.tolist(), "depth": depth,
                     "window": window_value, "words": [len(w) for w in (first_words, sixth_words)], "told": told,
                     "sixth": [sixth_draw, sixth_words[0]], "draw": [random.random(), float(np.random.random()),
                     own_random.random(), float(own_numpy.random())], "precision": decimal.getcontext().prec,
                     "digest": digest(), "names": len(globals())}
answer["ready"] = True
""",
]
