"""Random graphs of values as Python source, and the source of a function that puts one into words.

A graph is made and described in a worker only: what a test compares are two strings.
"""

import random

__all__ = ["DESCRIBE", "PREAMBLE", "graph_source"]

PREAMBLE = """
import collections, dataclasses, functools
class Plain:
    pass
class Slotted:
    __slots__ = ("a", "b")
    def __init__(self): self.a = self.b = None
class Child(Plain):
    def __init__(self): super().__init__(); self.kind = "자식"
@dataclasses.dataclass
class Data:
    a: object = None
    b: list = dataclasses.field(default_factory=list)
@dataclasses.dataclass(frozen=True)
class Frozen:
    a: object
class Listy(list):
    pass
def boxed(*kept):
    array = np.empty(len(kept), object)
    for at, value in enumerate(kept): array[at] = value
    return array
def sharing(*kept):
    cell, *more = kept
    def get(): return cell, more
    def put(value):
        nonlocal cell
        cell = value
    return get, put
"""

# Objects are numbered in the order in which a walk from the sorted names meets them; equal numbers are one object.
DESCRIBE = """
def describe(names):
    import hashlib
    seen, kept, lines, waiting = {}, [], [], []
    roots = [globals()[name] for name in names]
    def number(value):
        if value is None or type(value) in (int, float, bool): return repr(value)
        if type(value) in (str, bytes) and len(value) < 1000: return repr(value)
        if type(value) is tuple and not value: return "()"
        if id(value) not in seen:
            seen[id(value)] = len(seen); kept.append(value); waiting.append(value)
        return f"#{seen[id(value)]}"
    def told(value):
        kind = type(value)
        if kind in (str, bytes): return [kind.__name__, hashlib.sha256(repr(value).encode()).hexdigest()]
        if kind in (list, tuple, Listy, collections.deque): return [kind.__name__, *map(number, value)] + (
            [f"{k}={number(v)}" for k, v in vars(value).items()] if kind is Listy else [])
        if isinstance(value, dict): return [kind.__name__, *(f"{number(k)}: {number(v)}" for k, v in value.items())]
        if kind in (set, frozenset): return [kind.__name__, *sorted(map(repr, value))]
        if kind is np.ndarray:
            flags = value.flags.c_contiguous, value.flags.f_contiguous, value.flags.writeable
            base = number(value.base) if value.base is not None else None
            if value.dtype == object: return ["array", value.shape, *map(number, value.ravel())]
            content = hashlib.sha256(value.tobytes()).hexdigest()
            return ["array", value.dtype.str, value.shape, value.strides, flags, base, content]
        if callable(value) and hasattr(value, "__closure__"):
            return ["function", value.__name__, *(f"cell {number(cell)}" for cell in value.__closure__ or ())]
        if kind.__name__ == "cell": return ["cell", number(value.cell_contents)]
        if isinstance(value, functools.partial): return ["partial", number(value.func), *map(number, value.args)]
        if kind is type(len): return ["builtin", value.__name__]
        if kind is Slotted: return ["Slotted", number(value.a), number(value.b)]
        return [kind.__qualname__, *(f"{k}={number(v)}" for k, v in vars(value).items())]
    tops = [number(value) for value in roots]
    while waiting:
        value = waiting.pop()
        lines.append((seen[id(value)], told(value)))
    return "\\n".join([" ".join(tops), *(f"#{place} {line}" for place, line in sorted(lines))])
"""

LEAVES = [
    "None",
    "7",
    "-1.5",
    "2 ** 200",
    "True",
    "'글'",
    "b'bytes'",
    "()",
    "'큰 글 ' * {n}",
    "b'raw' * {n}",
    "np.arange({n})",
    "np.arange(24.0).reshape(4, 6)",
    "np.asfortranarray(np.arange(12).reshape(3, 4))",
]
# What holds others, made empty and then filled, so that any may hold any.
HOLDERS = ["[]", "{{}}", "Plain()", "Slotted()", "Child()", "Data()", "Listy()", "collections.deque()", "sharing(None)"]
FILL = {
    "[]": "v{i}.extend([{a}, {b}])",
    "{{}}": "v{i}.update({{'a': {a}, 5: {b}, (1, 'b'): {a}}})",
    "Plain()": "v{i}.a, v{i}.b = {a}, {b}",
    "Slotted()": "v{i}.a, v{i}.b = {a}, {b}",
    "Child()": "v{i}.self, v{i}.b = v{i}, {b}",
    "Data()": "v{i}.a = {a}; v{i}.b.append({b})",
    "Listy()": "v{i}.append({a}); v{i}.label = {b}",
    "collections.deque()": "v{i}.extend([{a}, {b}])",
    "sharing(None)": "v{i}[1]({a})",
}
# Made of what is there already.
MADE = [
    "({a}, {b}, {a})",
    "frozenset([(i, 'x') for i in range(5)])",
    "set(['a', 1, (2, 3)])",
    "{a}",
    "[{a}, [{b}]]",
    "Frozen({a})",
    "functools.partial(max, {a}, {b})",
    "sharing({a}, {b})[0]",
    "boxed({a}, {b}, {a}, None)",
    "{array}[1:]",
    "{array}[::2]",
    "{array}.T",
    "{array}[:1][:]",
    "({array}, {array}[-1:])",
]


def graph_source(size: int, seed: int) -> tuple[str, list[str]]:
    """A graph of values v0, v1, ... that share and hold each other.

    Args:
        size: how many.
        seed: which one of that size.

    Returns:
        A cell that makes it, and the names that are left then.
    """
    draw = random.Random(seed)
    lines, fills, arrays = list[str](), list[str](), list[str]()
    for i in range(size):
        roll = draw.random()
        earlier = [f"v{j}" for j in range(i)] or ["None"]
        if roll < 0.35 or i < 2:
            source = draw.choice(LEAVES).format(n=draw.choice([3, 30, 30_000]))
            if source.startswith("np."):
                arrays.append(f"v{i}")
        elif roll < 0.7:
            kind = draw.choice(HOLDERS)
            source = kind.format()
            fills.append(FILL[kind].format(i=i, a=f"v{draw.randrange(size)}", b=f"v{draw.randrange(size)}"))
        else:
            made = draw.choice([made for made in MADE if arrays or "{array}" not in made])
            array = draw.choice(arrays) if arrays else ""
            source = made.format(a=draw.choice(earlier), b=draw.choice(earlier), array=array)
        lines.append(f"v{i} = {source}")
    draw.shuffle(fills)
    # Not all have a name of their own: what has none lives on in what holds it.
    kept = sorted(draw.sample(range(size), max(1, size * 2 // 3)))
    gone = [f"v{i}" for i in range(size) if i not in kept]
    names = [f"v{i}" for i in kept]
    return "\n".join([*lines, *fills, *(f"del {name}" for name in gone)]), names
