"""`examples/tool_plugin` as its users get it: built to a wheel, installed beside ours into a new environment."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_example_plugin_is_built_installed_and_tested(tmp_path: Path) -> None:
    """Offline but for pip's index."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "RLM_HOME")}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "RLM_HOME": str(tmp_path / "home")}

    def run(*command: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    sources = tmp_path / "sources"
    ignored = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, sources, ignore=ignored)
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", str(venv))
    python = str(venv / "bin" / "python")
    for package in (sources, sources / "examples" / "tool_plugin"):
        run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", "wheels", str(package))
    ours, theirs = (next((tmp_path / "wheels").glob(f"{name}-*.whl")) for name in ("langgraph_rlm", "rlm_sqlite"))
    pins = str(ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", "--quiet", "-c", pins, f"{ours}[test]", str(theirs))

    listed = json.loads(run(str(venv / "bin" / "rlm"), "tools", "--json"))
    (row,) = [row for row in listed if row["plugin"] == "sqlite"]
    assert row["origin"] == {"distribution": "rlm-sqlite", "version": "0.1.0"}
    assert "path is missing" in row["needs"]

    tests = tmp_path / "tests"
    shutil.copytree(sources / "examples" / "tool_plugin" / "tests", tests)
    shutil.copy(sources / "examples" / "tool_plugin" / "pyproject.toml", tmp_path)
    shutil.rmtree(sources)
    told = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    passed = told.strip().splitlines()[-1]
    assert " passed" in passed, told
    assert not {"failed", "error", "skipped"} & set(passed.replace(",", "").split()), told
    assert str(venv) in run(python, "-c", "import rlm_sqlite; print(rlm_sqlite.__file__)")
    assert sysconfig.get_path("purelib") not in run(python, "-c", "import sys; print(sys.path)")
