"""The file tools against what lies outside of their root: by name, by link and by race, and none gets out.

Each attempt is made over both ways of opening: the kernel's (openat2) and the walk name by name.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from rlm_agent_tools.files import beneath, file_tools

CANARY = "CANARY-7f3a91-비밀"
WAYS = ("openat2", "walk")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "walk":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    elif not beneath._has_openat2():
        pytest.skip("slow: this kernel has no openat2")
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A root beside things that it must not lead to."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "deep").mkdir(parents=True)
    for name in ("secret.txt", "deep/secret.txt", "rootsecret.txt"):
        (outside / name).write_text(CANARY)
    (tmp_path / "root-secret.txt").write_text(CANARY)
    (root / "sub").mkdir(parents=True)
    (root / "plain.txt").write_text("plain")
    (root / ".env").write_text(CANARY)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text(CANARY)
    links = {
        "link-file": outside / "secret.txt",
        "link-dir": outside,
        "link-up": "..",
        "link-relative": "../outside/secret.txt",
        "sub/link-two-up": "../../outside",
        "link-proc": "/proc/self/environ",
        "link-proc-root": "/proc/self/root",
        "link-proc-cwd": "/proc/self/cwd",
        "link-proc-fd": "/proc/self/fd",
        "link-to-link": "link-file",
        "link-loop": "link-loop",
        "link-dev": "/dev",
        "link-zero": "/dev/zero",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        yield root


def attempts(root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Tool and arguments; the answer of none may hold the canary, or anything of the environment."""
    outside = root.parent / "outside"
    paths = [
        "../outside/secret.txt",
        "..",
        "../",
        "./../outside/secret.txt",
        "sub/../../outside/secret.txt",
        "sub/../..",
        "....//outside/secret.txt",
        "..\\outside\\secret.txt",
        "%2e%2e/outside/secret.txt",
        "\\x2e\\x2e/outside/secret.txt",
        "sub/\\x2e\\x2e/\\x2e\\x2e/outside/secret.txt",
        "\\x2fetc/passwd",
        "．．/outside/secret.txt",  # fullwidth full stops
        "‥/outside/secret.txt",  # a two dot leader, which NFKC would make ".."
        str(outside / "secret.txt"),
        f"/{outside}/secret.txt",
        "/etc/passwd",
        "//etc/passwd",
        "~/.ssh/id_rsa",
        "~root/.bashrc",
        "file:///etc/passwd",
        "../root-secret.txt",
        "plain.txt/../../outside/secret.txt",
        "plain.txt\0/../../outside/secret.txt",
        "/proc/self/environ",
        ".env",
        ".git/config",
        "./.env",
        "\\x2eenv",
        "sub/../.env",
        "link-file",
        "link-dir/secret.txt",
        "link-dir/deep/secret.txt",
        "link-up/outside/secret.txt",
        "link-relative",
        "sub/link-two-up/secret.txt",
        "link-proc",
        "link-proc-root/etc/passwd",
        "link-proc-cwd/secret.txt",
        "link-proc-fd/0",
        "link-to-link",
        "link-loop",
        "link-dev/zero",
        "link-zero",
        "pipe",
        "socket",
        "a/" * 3000,
        "\ud800/x",
    ]
    tried = [("read_file", {"path": path}) for path in paths]
    for start in ("link-dir", "link-up", "sub/link-two-up", "..", "/", str(outside), "link-proc-root", "link-dev"):
        tried.append(("list_files", {"path": start}))
        tried.append(("find_files", {"pattern": "**", "path": start}))
        tried.append(("grep_files", {"pattern": "CANARY", "path": start}))
    tried += [
        ("grep_files", {"pattern": "CANARY"}),
        ("grep_files", {"pattern": "CANARY", "files": "../**"}),
        ("grep_files", {"pattern": "CANARY", "files": "**/.env"}),
        ("find_files", {"pattern": "../**"}),
        ("find_files", {"pattern": "/etc/*"}),
        ("find_files", {"pattern": "**/secret*"}),
    ]
    return tried


CONTENTS = ("CANARY", "root:x:")
NAMES = ("secret.txt  (", "etc/")


def escapes(message: Any, args: dict[str, Any]) -> list[str]:
    """Signs that something got out: contents in whatever is said, names in what is no error (which quotes the path)."""
    said = f"{message.content}{message.artifact}".replace(str(args.get("pattern")), "")
    return [sign for sign in (*CONTENTS, *(() if message.status == "error" else NAMES)) if sign in said]


def outcome(tool: Any, args: dict[str, Any]) -> Any:
    return tool.invoke({"name": tool.name, "args": args, "id": "1", "type": "tool_call"})


def test_nothing_gets_out(place: Path, way: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("SOME_API_KEY", "ENVIRONMENT-CANARY")
    (place.parent / "outside").joinpath("secret.txt").touch()
    monkeypatch.chdir(place.parent / "outside")
    tools = {tool.name: tool for tool in file_tools([place])}
    escaped, began = [], time.monotonic()
    tried = attempts(place)
    for name, args in tried:
        message = outcome(tools[name], args)
        if escapes(message, args):
            escaped.append((name, args, message.content))
    seconds = time.monotonic() - began
    with capsys.disabled():
        print(f"\nfile jail ({way}): {len(tried)} attempts, {len(escaped)} escaped, {seconds:.1f} s")
    assert not escaped
    assert len(tried) >= 30
    assert seconds < 20


def test_the_signs_of_an_escape_are_seen_where_there_is_one(place: Path) -> None:
    tools = {tool.name: tool for tool in file_tools([place.parent])}
    assert CANARY in outcome(tools["read_file"], {"path": "outside/secret.txt"}).content
    listed = {"path": "outside"}
    assert escapes(outcome(tools["list_files"], listed), listed) == ["secret.txt  ("]
    for status in ("success", "error"):
        message = ToolMessage(f"no such file, but: {CANARY}", tool_call_id="1", status=status)
        assert escapes(message, {"path": "x"}) == ["CANARY"], "an error that tells contents has let them out"


SWAP = """
import os, sys, time
name, target, aside = sys.argv[1:]
until, swaps = time.monotonic() + 1, 0
while time.monotonic() < until:
    os.rename(name, aside)
    os.symlink(target, name)
    os.unlink(name)
    os.rename(aside, name)
    swaps += 1
    time.sleep(0.0003)
print(swaps)
"""


@pytest.mark.parametrize("swap", ["directory", "file"])
def test_a_race_does_not_get_out(place: Path, way: str, swap: str) -> None:
    """A process swaps a directory, or a file, for a link that leads out, while the tools read it."""
    (place / "moving").mkdir()
    (place / "moving" / "secret.txt").write_text("harmless")
    name = place / "moving" / "secret.txt" if swap == "file" else place / "moving"
    target = place.parent / "outside" / "secret.txt" if swap == "file" else place.parent / "outside"
    tools = {tool.name: tool for tool in file_tools([place])}
    command = [sys.executable, "-c", SWAP, str(name), str(target), str(place / "aside")]
    texts: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as swapper:
        while swapper.poll() is None:
            texts.append(outcome(tools["read_file"], {"path": "moving/secret.txt"}).content)
            texts.append(outcome(tools["grep_files"], {"pattern": "[a-zA-Z]", "path": "moving"}).content)
        assert swapper.stdout is not None
        swaps = int(swapper.stdout.read())
    assert not [text for text in texts if CANARY in text]
    assert any("harmless" in text for text in texts)
    assert swaps > 100
    assert len(texts) > 50


def test_pipes_and_devices_never_block(place: Path, way: str) -> None:
    tools = {tool.name: tool for tool in file_tools([place])}
    began = time.monotonic()
    assert "a named pipe" in outcome(tools["read_file"], {"path": "pipe"}).content
    assert "a socket" in outcome(tools["read_file"], {"path": "socket"}).content
    assert "plain.txt:1: plain" in outcome(tools["grep_files"], {"pattern": "plain"}).content
    if os.geteuid() == 0:
        try:
            os.mknod(place / "zero", 0o600 | 0o020000, os.makedev(1, 5))
        except OSError:
            pass
        else:
            assert "a character device" in outcome(tools["read_file"], {"path": "zero"}).content
    assert time.monotonic() - began < 5


def test_a_root_that_is_replaced_stays_the_one_that_was_given(place: Path, way: str) -> None:
    tools = {tool.name: tool for tool in file_tools([place])}
    os.rename(place, place.parent / "elsewhere")
    place.symlink_to(place.parent / "outside")
    assert "plain" in outcome(tools["read_file"], {"path": "plain.txt"}).content
    assert "is not there" in outcome(tools["read_file"], {"path": "secret.txt"}).content
