"""The demo's input: this Python's standard library as one text; and the truth about it, by `ast`, at run time.

Invariant: nothing here is known beforehand: another Python gives another text and another truth.
"""

import ast
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rlm_agent.errors import RLMError

__all__ = ["Definition", "Library", "Truth", "draw", "read_library"]

_LEFT_OUT = frozenset({"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "lib-dynload"})
_LARGE = 300_000  # characters: a file of data rather than code
_HEADER = re.compile(r"^=== \S+ ===$", re.M)


@dataclass(frozen=True, slots=True)
class Library:
    """The sources that the input is made of, by path: modules first, then the packages."""

    files: Mapping[str, str]
    left_out: int

    @property
    def text(self) -> str:
        """All of them as one text, each below a header line."""
        return "".join(f"=== {path} ===\n{source}" for path, source in self.files.items())


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or function at the top level of a file."""

    kind: str
    name: str
    path: str
    line: int

    @property
    def question(self) -> str:
        """The question that this definition answers."""
        return f"Which module defines the {self.kind} `{self.name}`?"


@dataclass(frozen=True, slots=True)
class Truth:
    """What `ast` says.

    Attributes:
        once: top-level definitions whose name is defined nowhere else in the input.
        counts: by package, what the scripted root counts; "(modules)" are those in no package.
    """

    once: tuple[Definition, ...]
    counts: Mapping[str, Mapping[str, int]]


def read_library() -> tuple[Library, Truth]:
    """Reads the standard library's own modules and packages, tests left out, and parses each.

    Raises:
        RLMError: this Python has no readable sources.
    """
    root = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in root.rglob("*.py") if not _LEFT_OUT & set(path.relative_to(root).parts)]
    paths.sort(key=lambda path: (len(path.relative_to(root).parts) > 1, path.relative_to(root).as_posix()))
    survey = _Survey()
    for path in paths:
        survey.add(path.relative_to(root).as_posix(), path)
    if len(survey.files) < 100:
        raise RLMError(
            f"The demo needs the standard library's sources, and {root} holds {len(survey.files)} readable files."
        )
    return Library(survey.files, len(paths) - len(survey.files)), survey.truth()


class _Survey:
    """Gathers files and what `ast` says of them, one tree at a time."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._names: Counter[str] = Counter()
        self._top: list[Definition] = []

    def add(self, name: str, path: Path) -> None:
        """Takes a file in unless it is data, or no code that this Python reads."""
        try:
            text = path.read_text("utf-8")
            tree = ast.parse(text)
        except (OSError, ValueError, SyntaxError):
            return
        if len(text) > _LARGE or _HEADER.search(text):
            return
        self.files[name] = text = text if text.endswith("\n") or not text else text + "\n"
        self._count(name.split("/")[0] if "/" in name else "(modules)", text, tree)
        self._top += _definitions(tree, name)

    def truth(self) -> Truth:
        """What all files hold."""
        once = tuple(definition for definition in self._top if self._names[definition.name] == 1)
        return Truth(once, {package: dict(found) for package, found in self._counts.items()})

    def _count(self, package: str, text: str, tree: ast.Module) -> None:
        empty = Counter(files=0, lines=0, classes=0, functions=0, imports=0)
        found = self._counts.setdefault(package, empty)
        found.update(files=1, lines=text.count("\n"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found["imports"] += 1
            elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found["classes" if isinstance(node, ast.ClassDef) else "functions"] += 1
                self._names[node.name] += 1


def _definitions(tree: ast.Module, path: str) -> Iterator[Definition]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield Definition("class", node.name, path, node.lineno)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Definition("function", node.name, path, node.lineno)


def draw(truth: Truth, number: int, seed: int) -> list[Definition]:
    """So many definitions, the same ones for the same seed and Python."""
    return random.Random(seed).sample(truth.once, number)
