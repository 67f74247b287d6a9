"""The host never unpickles: not by what it imports, and not while it runs, resumes, rebuilds, forks and looks."""

import ast
import subprocess
import sys
from pathlib import Path

import rlm_agent

PACKAGE = Path(rlm_agent.__file__).parent
# What a worker or its parent runs, which holds no secret and is confined before a cell.
NAMES = """arrays cell chunks classes clock confined context deep dumping entropy exceptions files image interpreter
    interrupts leaves lifeline loading lost namespace output pickling requests results scratch sink slots snapshot
    stand_in subcalls trust variables verify views watched worker zygote"""
WORKER = frozenset(NAMES.split())
LOADERS = frozenset({"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"})
RUNNERS = frozenset({"eval", "exec", "compile"})

WORK = """
import pickle, sys
from pathlib import Path

def trapped(*args, **kwargs):
    raise SystemExit("the host unpickled")

import _pickle
for module in (pickle, _pickle):
    module.load = module.loads = module.Unpickler = trapped

from rlm_agent import Home, ModelError, create_rlm_agent, open_run
from rlm_agent.testing import ScriptedModel

thread = {"configurable": {"thread_id": "t"}}
first = "```python\\nimport sympy\\nclass C: pass\\nc, a, e = C(), np.arange(40_000), sympy.Symbol('x') ** 2\\n```"
last = "```python\\nanswer['content'] = [type(c).__name__, int(a.sum()), str(e)]\\nanswer['ready'] = True\\n```"
with Home(Path(sys.argv[1])) as home:
    def agent(*replies):
        return create_rlm_agent(ScriptedModel(replies=list(replies)), home=home, checkpointer=home.checkpointer)
    try:
        agent(first, ConnectionError("down")).invoke({"messages": [("user", "q")]}, thread)
    except ModelError:
        pass
    run = open_run("t", home=home)
    assert run.value("a", as_="npy").sum() == 799980000
    fork = run.fork(turn=1)
    for key in {home.signatures.snapshot_of(turn.record) for turn in run.turns}:
        home.blobs.path(key).unlink(missing_ok=True)
        home.write(lambda c, key=key: c.execute("DELETE FROM blobs WHERE key = ?", (key,)).rowcount).result()
    rebuilt = {"configurable": {"thread_id": "t", "rlm_rebuild": True}}
    for config in (rebuilt, fork):
        out = agent(last).invoke(None, config)
        assert out["rlm"]["content"] == ["C", 799980000, "x**2"], out
ours = {name for name, module in sys.modules.items() if name.startswith("rlm_agent") and hasattr(module, "pickle")}
print("unharmed", sorted(ours), "cloudpickle" in sys.modules, "rlm_agent.repl.pickling" in sys.modules)
"""


def host_files() -> list[Path]:
    return [
        file
        for file in sorted(PACKAGE.rglob("*.py"))
        if not (file.parent.name == "repl" and file.stem in WORKER) and file.parent.name != "sandbox"
    ]


def loads_code(file: Path) -> list[str]:
    """What in a file loads or runs foreign code: imports of picklers, calls of eval and its like."""
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in LOADERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LOADERS:
            found.append(str(node.module))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUNNERS:
            found.append(node.func.id)
    return found


def test_no_module_of_the_host_can_load_or_run_foreign_code() -> None:
    found = {str(file.relative_to(PACKAGE)): names for file in host_files() if (names := loads_code(file))}
    # To look whether a reply's block parses, and whether typed input is complete: compiled, never run.
    assert found == {"root/fences.py": ["compile"]}


def test_the_worker_does() -> None:
    """The grep would find it: the worker's own modules are full of it."""
    assert "cloudpickle.cloudpickle" in loads_code(PACKAGE / "repl" / "pickling.py")
    assert "eval" in loads_code(PACKAGE / "repl" / "cell.py")


def test_a_host_whose_unpicklers_are_traps_runs_resumes_rebuilds_and_looks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(tmp_path / "home")], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "unharmed [] False False", done.stderr[-2000:]
