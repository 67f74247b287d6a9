"""The map of a repository and what `ast` tells of its files; hostile files end in a text or an error, never a crash."""

from pathlib import Path
from typing import Any

import pytest

from rlm_agent_graphs import code_map

SHAPES = '''"""도형."""
import math
from . import base
from ..util import area as 넓이


class Circle(base.Shape):
    """A circle.

    Round.
    """

    @property
    def 둘레(self):
        return 2 * math.pi * self.r

    def grow(self):
        def inner():
            return self.r
        if True:
            def late():
                """Late."""
        return inner()


async def load(path):
    return Circle()
'''
REPO = {
    "pkg/shapes.py": SHAPES,
    "pkg/util.py": "def area(r):\n    return r\n",
    "pkg/deep/er/still/x.py": "class X: pass\n",
    "README.md": "The Circle of the repo.\nload it",
    "pkg/broken.py": "def (:\n",
    "pkg/nested.py": "(" * 5000 + ")" * 5000,
    "pkg/sum.py": "x = " + "1+" * 100_000 + "1",
    "pkg/nul.py": "x = 1\0",
    "pkg/empty.py": "",
}


def test_the_map() -> None:
    text = code_map.repo_map(REPO)
    assert "pkg/  7 files" in text
    assert "shapes.py  27 lines: Circle, load" in text
    assert "pkg/deep/  1 files, 1 lines" in text
    assert "broken.py  1 lines  (no Python: SyntaxError" in text
    assert "nested.py  1 lines  (no Python: " in text
    assert "README.md  2 lines" in text
    assert "shapes.py" not in code_map.repo_map(REPO, "pkg/deep")
    assert "no file is below 'nowhere'" in code_map.repo_map(REPO, "nowhere")


def test_a_large_map_is_cut_and_says_so() -> None:
    text = code_map.repo_map({f"m{n}.py": f"def f{n}(): pass" for n in range(5000)}, chars=2000)
    assert len(text) < 2200
    assert "characters more: name a folder" in text


def test_symbols_and_their_source() -> None:
    found = {each["name"]: each for each in code_map.symbols(REPO, "pkg/shapes.py")}
    names = ["Circle", "Circle.grow", "Circle.grow.inner", "Circle.grow.late", "Circle.둘레", "load"]
    assert sorted(found) == sorted(names)
    assert found["Circle"] | {"doc": "", "end": 0} == {
        "name": "Circle",
        "kind": "class",
        "line": 7,
        "end": 0,
        "doc": "",
    }
    assert (found["Circle"]["doc"], found["Circle.둘레"]["kind"], found["load"]["kind"]) == (
        "A circle.",
        "method",
        "function",
    )
    assert code_map.source(REPO, "pkg/shapes.py", "둘레").splitlines()[0].strip() == "@property"
    assert code_map.source(REPO, "pkg/shapes.py", "load") == "async def load(path):\n    return Circle()"
    assert [each["path"] for each in code_map.find_symbol(REPO, "area")] == ["pkg/util.py"]
    assert [each["name"] for each in code_map.find_symbol(REPO, "Circle.grow")] == ["Circle.grow"]


def test_references_say_where_they_stand() -> None:
    found = code_map.references(REPO, "Circle")
    assert [(each["path"], each["line"], each["within"]) for each in found] == [
        ("pkg/shapes.py", 7, "Circle"),
        ("pkg/shapes.py", 27, "load"),
        ("README.md", 1, ""),
    ]
    assert code_map.references(REPO, "넓이")[0]["line"] == 4
    assert len(code_map.references({"a.txt": "x\n" * 1000}, "x", limit=7)) == 7
    assert code_map.imports(REPO, "pkg/shapes.py") == [".", "..util", "math"]


@pytest.mark.parametrize("path", ["pkg/broken.py", "pkg/nested.py", "pkg/nul.py"])
def test_what_cannot_be_parsed_says_so(path: str) -> None:
    for call in (code_map.symbols, code_map.imports):
        function: Any = call
        with pytest.raises(ValueError, match="no Python"):
            function(REPO, path)
    assert code_map.references(REPO, "x") is not None


def test_what_is_not_there_says_what_is() -> None:
    with pytest.raises(LookupError, match=r"no file 'shapes.py'; there is pkg/shapes.py"):
        code_map.symbols(REPO, "shapes.py")
    with pytest.raises(LookupError, match="defines no 'nothing'"):
        code_map.source(REPO, "pkg/shapes.py", "nothing")


def test_on_this_repository() -> None:
    root = Path(__file__).parents[3]
    files = {str(p.relative_to(root)): p.read_text("utf-8") for p in (root / "rlm_agent").rglob("*.py")}
    assert len(code_map.repo_map(files)) <= 6200
    (found,) = code_map.find_symbol(files, "create_rlm_agent")
    assert found["path"] == "rlm_agent/agent.py"
    assert code_map.source(files, found["path"], "create_rlm_agent").startswith("def create_rlm_agent(")
    within = {each["within"] for each in code_map.references(files, "create_rlm_agent")}
    assert {"", "create_rlm_agent", "_maker"} <= within
