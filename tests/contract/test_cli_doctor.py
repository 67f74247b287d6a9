"""What `rlm doctor` says of the sandbox: each layer, what it blocks, whether it is active, why not; what was tried."""

import json
from typing import Any

import pytest
from command_line import Rlm

from rlm_agent.repl import process
from rlm_agent.repl.sandbox.layers import LAYERS

NAMES = [layer.name for layer in LAYERS]


def reported(rlm: Rlm) -> tuple[int, dict[str, Any]]:
    ended = rlm("doctor", "--json")
    return ended.code, json.loads(ended.out)["repl"]


def test_every_layer_is_told_with_what_it_blocks(rlm: Rlm) -> None:
    code, repl = reported(rlm)
    layers = repl["sandbox"]["layers"]
    assert (code, [layer["name"] for layer in layers]) == (0, NAMES)
    assert all(set(layer) == {"name", "blocks", "active", "why"} for layer in layers)
    assert [layer["blocks"] for layer in layers] == [layer.blocks for layer in LAYERS]
    assert all(layer["active"] is (layer["why"] == "") for layer in layers)
    active = ", ".join(layer["name"] for layer in layers if layer["active"])
    assert repl["isolation"].endswith(f"({active})")
    assert all(refused for refused in repl["sandbox"]["attempts"].values())


def test_the_text_holds_a_line_for_each(rlm: Rlm) -> None:
    lines = rlm("doctor").out.splitlines()
    for layer in LAYERS:
        (line,) = (line for line in lines if line.split()[:1] == [layer.name])
        assert line.endswith(f"against {layer.blocks}")
        assert " active; " in line or " NOT ACTIVE (" in line
    assert "  tried to open sockets: Operation not permitted" in lines


def test_masked_layers_are_told_as_such_and_what_is_open_without_them(
    rlm: Rlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "NAMES", ("limits", "privileges", "seccomp"))
    code, repl = reported(rlm)
    layers = {layer["name"]: layer for layer in repl["sandbox"]["layers"]}
    assert code == 0
    assert [name for name in NAMES if not layers[name]["active"]] == ["namespaces", "mounts", "landlock"]
    assert {layers[name]["why"] for name in ("namespaces", "mounts", "landlock")} == {"left out"}
    assert repl["sandbox"]["attempts"]["read files"] == ""
    assert repl["isolation"] == "network, signals closed, files OPEN (limits, privileges, seccomp)"
    text = rlm("doctor").out
    assert "landlock     NOT ACTIVE (left out); against files outside scratch" in text
    assert "seccomp      active; against sockets" in text
    assert "tried to read files: IT WORKED" in text
    assert "run trusted models only" not in text


def test_without_any_layer_it_fails_and_says_what_to_do(rlm: Rlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLM_ALLOW_UNSANDBOXED", raising=False)
    monkeypatch.setattr(process, "NAMES", ())
    code, repl = reported(rlm)
    assert (code, repl["ok"], repl["isolation"]) == (1, False, "none")
    assert "RLM_ALLOW_UNSANDBOXED=1" in repl["problem"]
    # The layers are told all the same: they are what a person looks for now.
    assert [layer["active"] for layer in repl["sandbox"]["layers"]] == [False] * len(NAMES)
    assert set(repl["sandbox"]["attempts"].values()) == {""}
    text = rlm("doctor")
    assert text.code == 1
    assert "isolation    none: run trusted models only" in text.out
    assert text.out.endswith("something fails, see above\n")


def test_with_leave_it_works_without_any_layer_and_warns(rlm: Rlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_ALLOW_UNSANDBOXED", "1")
    monkeypatch.setattr(process, "NAMES", ())
    code, repl = reported(rlm)
    assert (code, repl["ok"], repl["isolation"]) == (0, True, "none (RLM_ALLOW_UNSANDBOXED=1)")
    assert "isolation    none (RLM_ALLOW_UNSANDBOXED=1): run trusted models only" in rlm("doctor").out
