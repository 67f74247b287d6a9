"""The code QA agent, and functions that run in the REPL: bound in every worker, no part of a snapshot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import ConfigError, Corpus, Home, create_rlm_agent, open_run
from rlm_agent.repl_code import ReplCode
from rlm_agent.testing import ScriptedModel
from rlm_agent_graphs.code_qa import code_qa

ROOT = Path(__file__).parents[2]
THREAD = {"configurable": {"thread_id": "c"}}
LOOK = """```python
print(repo_map(context, "store"))
(found,) = find_symbol(context, "Ledger")
text = source(context, found["path"], "Ledger.record")
mine = find_symbol
```"""
ASK = """```python
said = llm_batch([f"{found['path']}\\n{text}"])
users = sorted({each["path"] for each in references(context, "record_nowait")})
answer["content"] = [found["path"], found["line"] > 10, str(said[0]), users, mine is find_symbol]
answer["ready"] = True
```"""
CODE = '''
import os

def pid():
    """Tells."""
    return os.getpid()

def joined(parts: list[str], by: str = "-") -> str:
    """Joins parts.

    More.
    """
    return _inner(parts, by)

def _inner(parts, by):
    return by.join(parts)

NOT = 1
'''


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "own") as opened:
        yield opened


def scripted(turns: list[str]) -> ScriptedModel:
    return ScriptedModel(replies=lambda messages: turns[sum(m.type == "ai" for m in messages)])


def run(cell: str, home: Home, **options: Any) -> Any:
    root = ScriptedModel(replies=[f"```python\n{cell}\nanswer['content'] = out\nanswer['ready'] = True\n```"])
    agent = create_rlm_agent(root, home=home, checkpointer=home.checkpointer, **options)
    return agent.invoke({"messages": [("user", "q")]}, THREAD)["rlm"]["content"]


def test_a_question_about_this_repository(home: Home) -> None:
    handle = Corpus.load(ROOT / "rlm_agent", home=home)
    sub = ScriptedModel(replies=lambda messages: messages[-1].content.splitlines()[0])
    agent = code_qa(scripted([LOOK, ASK]), sub_model=sub, home=home, checkpointer=home.checkpointer)
    out = agent.invoke({"messages": [("user", "Where are steps recorded?")], "context": handle}, THREAD)
    path, placed, said, users, same = out["rlm"]["content"]
    assert (path, placed, said, same) == ("store/ledger.py", True, "store/ledger.py", True)
    assert "store/ledger.py" in users
    first = open_run("c", name="code_qa", home=home).turns[0]
    assert "ledger.py" in first.output
    assert [variable.name for variable in first.variables] == ["answer", "found", "text", "mine"]


def test_resumed_in_another_worker_the_functions_are_there_and_are_the_same(home: Home) -> None:
    handle = Corpus.load(ROOT / "rlm_agent" / "store", home=home)
    given = {"messages": [("user", "Where?")], "context": handle}
    options: dict[str, Any] = {
        "sub_model": ScriptedModel(replies=["x"]),
        "home": home,
        "checkpointer": home.checkpointer,
    }
    with pytest.raises(Exception, match="list index"):
        code_qa(scripted([LOOK.replace(', "store"', "")]), **options).invoke(given, THREAD)
    out = code_qa(scripted([LOOK, ASK]), **options).invoke(None, THREAD)
    assert out["rlm"]["content"][-1] is True


def test_functions_of_the_repl_run_in_the_worker(home: Home) -> None:
    cell = "import os\nout = [pid() == os.getpid(), joined(['a', '나']), 'NOT' in globals(), '_inner' in globals()]"
    assert run(cell, home, repl_functions=[ReplCode(CODE)]) == [True, "a-나", False, False]


def test_a_child_has_them_too(home: Home) -> None:
    sub = ScriptedModel(replies=["```python\nanswer['content'] = joined(['x', 'y'])\nanswer['ready'] = True\n```"])
    assert run("out = str(rlm('q'))", home, repl_functions=[ReplCode(CODE)], sub_model=sub, max_depth=2) == "x-y"


def test_the_root_is_told_of_them() -> None:
    seen: list[str] = []

    def host(name: str) -> str:
        """Looks up."""
        return name

    root = ScriptedModel(
        replies=lambda m: seen.append(m[0].content) or "```python\nanswer.update(content=1, ready=True)\n```"
    )
    create_rlm_agent(root, repl_functions=[host, ReplCode(CODE)]).invoke({"messages": [("user", "q")]})
    assert "Host functions bound in the REPL:\n- `host(name: str) -> str` Looks up." in seen[0]
    assert (
        "Functions of the REPL's own:\n- `pid()` Tells.\n- `joined(parts: list[str], by: str='-') -> str` Joins parts."
        in seen[0]
    )


@pytest.mark.parametrize(
    ("functions", "says"),
    [
        ([ReplCode(CODE), ReplCode(CODE)], "the name 'pid' is taken"),
        ([ReplCode("def llm_batch(): pass")], "the name 'llm_batch' is taken"),
    ],
)
def test_names_that_are_taken(functions: list[Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        create_rlm_agent("offline", repl_functions=functions)


@pytest.mark.parametrize("source", ["def (", "x = 1", "def _hidden(): pass", "\0"])
def test_a_source_that_brings_nothing(source: str) -> None:
    with pytest.raises(ConfigError, match="repl_functions: the source of a ReplCode"):
        ReplCode(source)
