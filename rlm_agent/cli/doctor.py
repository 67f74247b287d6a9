"""`rlm doctor`: what a run needs and whether it is here. Reads names of keys, never their values."""

import asyncio
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption, JsonOption
from rlm_agent.cli.path_commands import clash, commands_on_path
from rlm_agent.cli.terminal import json_text, one_line, show
from rlm_agent.cli.version import own_version
from rlm_agent.environment import known_keys, rlm_home, rlm_model
from rlm_agent.errors import KernelError, RLMError

__all__ = ["doctor"]

_PACKAGES = (
    "langgraph",
    "langchain",
    "langchain-core",
    "langchain-openai",
    "openai",
    "langgraph-checkpoint-sqlite",
    "numpy",
    "scipy",
    "sympy",
    "genai-prices",
)


@reported
def doctor(as_json: JsonOption = False, home: HomeOption = None) -> int:
    """Checks versions, the home, the REPL worker, the command on PATH, which keys are set. Exit code 1: a failure."""
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {"langgraph-rlm": own_version(), **{name: _version(name) for name in _PACKAGES}},
        "command": _command(),
        "home": _home(home),
        "repl": asyncio.run(_repl()),
        "model": rlm_model(),
        "keys": known_keys(),
    }
    report["ok"] = report["home"]["ok"] and report["repl"]["ok"]
    show(json_text(report) if as_json else _text(report))
    return Code.ANSWERED if report["ok"] else Code.FAILED


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _command() -> dict[str, Any]:
    """What a shell starts that is told `rlm`."""
    found = commands_on_path()
    return {"paths": [command.path for command in found], "problem": clash(found)}


def _home(given: Path | None) -> dict[str, Any]:
    """Opens the home, which makes it where there is none yet, and writes into it."""
    from rlm_agent.store.home import Home

    path = str(given or rlm_home())
    try:
        with Home(path) as home:
            home.write(lambda connection: None).result()
    except RLMError as error:
        return {"path": path, "ok": False, "problem": one_line(str(error))}
    return {"path": path, "ok": True, "problem": None}


async def _repl() -> dict[str, Any]:
    """Starts a worker twice: the first start includes the zygote's, the second is what a run waits for."""
    from rlm_agent.repl.process import ProcessKernel

    kernel = ProcessKernel()
    report: dict[str, Any] = {
        "isolation": "none",
        "sandbox": {"layers": [], "attempts": {}},
        "ok": False,
        "problem": None,
    }
    try:
        report["sandbox"] = await asyncio.to_thread(_sandbox, kernel)
        report["isolation"] = kernel.isolation
        report["first_start_seconds"] = await _one_cell(kernel)
        report["next_start_seconds"] = await _one_cell(kernel)
    except RLMError as error:
        return {**report, "problem": one_line(str(error))}
    return {**report, "ok": True}


def _sandbox(kernel: Any) -> dict[str, Any]:
    """What a forked process that went under each layer said of it, and what it could do all the same."""
    from rlm_agent.repl.sandbox.layers import LAYERS

    found = kernel.findings()
    layers = [
        {
            "name": layer.name,
            "blocks": layer.blocks,
            "active": not found.layers[layer.name],
            "why": found.layers[layer.name],
        }
        for layer in LAYERS
    ]
    return {"layers": layers, "attempts": dict(found.attempts)}


async def _one_cell(kernel: Any) -> float:
    from rlm_agent.repl.kernel import Bindings, CellDone

    started = time.monotonic()
    session = await kernel.session()
    try:
        await session.start(Bindings(task="doctor"), None)
        end = await session.execute("6 * 7")
    finally:
        await session.close()
    if not isinstance(end, CellDone) or end.error is not None or "42" not in end.output:
        raise KernelError(f"A worker started but did not run a cell: {end!r}")
    return round(time.monotonic() - started, 3)


def _first_path(paths: list[str]) -> str:
    return f"rlm is {paths[0]}" if paths else "no rlm on PATH: call it by its path, or python -m rlm_agent.cli.main"


def _layers(sandbox: dict[str, Any]) -> list[str]:
    lines = []
    for layer in sandbox["layers"]:
        state = "active" if layer["active"] else f"NOT ACTIVE ({one_line(layer['why'])})"
        lines.append(f"  {layer['name']:<12} {state}; against {layer['blocks']}")
    for attempt, refused in sandbox["attempts"].items():
        lines.append(f"  tried to {attempt}: {one_line(refused) if refused else 'IT WORKED'}")
    return lines


def _text(report: dict[str, Any]) -> str:
    home, repl = report["home"], report["repl"]
    advice = ": run trusted models only" if repl["isolation"].startswith("none") else ""
    starts = (
        "" if not repl["ok"] else f", {repl['first_start_seconds']} s at first, {repl['next_start_seconds']} s then"
    )
    lines = [
        f"python       {report['python']} on {report['platform']}",
        *(f"{name:<28} {number or 'not installed'}" for name, number in report["versions"].items()),
        f"command      {one_line(report['command']['problem'] or _first_path(report['command']['paths']))}",
        f"home         {home['path']}: {'writable' if home['ok'] else home['problem']}",
        f"repl         {'works' if repl['ok'] else repl['problem']}{starts}",
        f"isolation    {repl['isolation']}{advice}",
        *_layers(repl["sandbox"]),
        f"RLM_MODEL    {one_line(report['model'] or 'not set: give --model, or use offline')}",
        *(f"{name:<28} {'set' if there else 'not set'}" for name, there in report["keys"].items()),
        "all well" if report["ok"] else "something fails, see above",
    ]
    return "\n".join(lines)
