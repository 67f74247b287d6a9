"""`langgraph dev` serves the ready-made agents, without any key; needs `langgraph-cli[inmem]`."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAMES = list(json.loads((ROOT / "langgraph.json").read_text())["graphs"])
ASKED = {"messages": [{"role": "user", "content": "Which line mentions '바늘'?"}], "context": "hay\n바늘 7\nhay"}

pytestmark = [pytest.mark.slow, pytest.mark.extras]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that was started in a copy of the project's configuration, as a user does."""
    pytest.importorskip("langgraph_cli", reason="pip install 'langgraph-cli[inmem]'")
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(ROOT / "langgraph.json", folder)
    shutil.copytree(ROOT / "graphs", folder / "graphs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and name != "RLM_MODEL"}
    environment = {**kept, "HOME": str(folder), "RLM_HOME": str(folder / "rlm"), "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
    command = ["dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "langgraph_cli", *command], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/ok", timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(log.read_text()[-3000:])


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_answers_over_http(served: str, name: str) -> None:
    body = json.dumps({"assistant_id": name, "input": ASKED}).encode()
    request = urllib.request.Request(f"{served}/runs/wait", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        out: Any = json.load(reply)
    assert "바늘 7" in out["messages"][-1]["content"]
    assert out["rlm"]["turns"] >= 1
