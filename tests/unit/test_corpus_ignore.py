"""Corpus.load of a directory: what a .gitignore leaves out, compared with git itself where it is installed."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_agent.corpus import Corpus
from rlm_agent.errors import ConfigError
from rlm_agent.store.home import Home, default_home


@pytest.fixture(autouse=True)
def _closed_home() -> Iterator[None]:
    yield
    default_home().close()


def tree_of(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def names_of(handle: dict, home: Home | None = None) -> list[str]:
    return [name for name, _, _ in (home or default_home()).corpora.source(handle).index]


def test_ignored_files_are_left_out_and_counted(tmp_path: Path) -> None:
    root = tree_of(
        tmp_path / "repo",
        {
            ".gitignore": "# build\n*.log\n!keep.log\nbuild/\n/only-here.txt\n로그/*.txt\n",
            "a.log": "x",
            "keep.log": "x",
            "src/deep/b.log": "x",
            "src/a.py": "x",
            "src/only-here.txt": "x",
            "only-here.txt": "x",
            "build/1.txt": "x",
            "build/sub/2.txt": "x",
            "build/.gitignore": "!1.txt\n",
            "src/build": "a file",
            "로그/하나.txt": "x",
            "로그/둘.md": "x",
        },
    )
    corpus = Corpus.load(root)
    assert names_of(corpus) == [
        ".gitignore",
        "keep.log",
        "src/a.py",
        "src/build",
        "src/only-here.txt",
        "로그/둘.md",
    ]
    assert (corpus["ignored"], corpus["files"], corpus["skipped_count"]) == (7, 6, 0)


def test_the_nearest_gitignore_decides(tmp_path: Path) -> None:
    root = tree_of(
        tmp_path / "repo",
        {
            ".gitignore": "*.txt\ndata/*\n!data/kept/\n",
            "a.txt": "x",
            "sub/.gitignore": "!*.txt\nsecret.txt\n/here.txt\n",
            "sub/a.txt": "x",
            "sub/secret.txt": "x",
            "sub/here.txt": "x",
            "sub/deep/here.txt": "x",
            "sub/deep/.gitignore": "!secret.txt",
            "sub/deep/secret.txt": "x",
            "data/gone.md": "x",
            "data/kept/b.md": "x",
            "data/kept/c.txt": "x",
        },
    )
    corpus = Corpus.load(root)
    assert [name for name in names_of(corpus) if ".gitignore" not in name] == [
        "data/kept/b.md",
        "sub/a.txt",
        "sub/deep/here.txt",
        "sub/deep/secret.txt",
    ]
    assert corpus["ignored"] == 5


def test_a_gitignore_counts_below_the_given_directory_only_and_not_for_globs(tmp_path: Path) -> None:
    root = tree_of(tmp_path / "repo", {".gitignore": "*.txt\n", "sub/a.txt": "x", "sub/b.md": "x"})
    assert names_of(Corpus.load(root / "sub")) == ["a.txt", "b.md"]
    assert names_of(Corpus.load(f"{root}/**/*.txt")) == ["sub/a.txt"]
    assert Corpus.load(f"{root}/**/*.txt")["ignored"] == 0


def test_a_directory_that_is_ignored_as_a_whole_says_so(tmp_path: Path) -> None:
    root = tree_of(tmp_path / "venv", {".gitignore": "*\n", "a.txt": "x", "lib/b.txt": "x"})
    with pytest.raises(ConfigError, match=r"\.gitignore files name all of its 3 files\. Give a glob"):
        Corpus.load(root)


def test_version_control_of_every_kind_is_left_out_uncounted(tmp_path: Path) -> None:
    root = tree_of(tmp_path / "r", {f"{kind}/config": "x" for kind in (".git", ".hg", ".svn", "sub/.git")} | {"a": "x"})
    (tmp_path / "r" / "worktree").mkdir()
    (tmp_path / "r" / "worktree" / ".git").write_text("gitdir: elsewhere")
    corpus = Corpus.load(root)
    assert names_of(corpus) == ["a"]
    assert (corpus["ignored"], corpus["skipped_count"]) == (0, 0)


def test_a_gitignore_that_is_no_regular_file_is_none(tmp_path: Path) -> None:
    tree_of(tmp_path, {"outside": "*\n", "a/x.txt": "x", "b/x.txt": "x", "c/.gitignore/x.txt": "x", "d/x.txt": "x"})
    (tmp_path / "a" / ".gitignore").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "b" / ".gitignore")
    (tmp_path / "d" / ".gitignore").write_bytes(b"\xef\xbb\xbfno.txt\r\n\xff\n[\nx.tx\\\n!\n/\n\\\n")
    assert set(names_of(Corpus.load(f"{tmp_path}/a"))) == {"x.txt"}
    assert set(names_of(Corpus.load(f"{tmp_path}/b"))) == {"x.txt"}
    assert set(names_of(Corpus.load(f"{tmp_path}/c"))) == {".gitignore/x.txt"}
    assert set(names_of(Corpus.load(f"{tmp_path}/d"))) == {".gitignore", "x.txt"}


def test_hostile_patterns_cost_no_time(tmp_path: Path) -> None:
    lines = [
        "*a" * 30 + "b",
        "[" * 300_000,
        "**/a/" * 200 + "b",
        "[" * 4000,
        "*/" * 500 + "b",
        "?*" * 300 + "b",
        "x" * 10**5,
        "[a-" * 900,
    ]
    root = tree_of(tmp_path / "r", {".gitignore": "\n".join(lines), "a/" * 60 + "a" * 200: "x"})
    started = time.monotonic()
    assert len(names_of(Corpus.load(root))) == 2
    assert time.monotonic() - started < 2


# --- against git

_NAMES = ["a", "b", "c.log", "d.txt", "build", "x y", "é", "#h", "!n", "[z]", "e\\f"]
_PIECES = [
    *("a", "b", "*.log", "build", "*", "**", "?", "[a-b]", "d.txt", "c.*", "x\\ y", "x y", "é", "\\#h", "\\!n", "#h"),
    *("!n", "[!a]", "[[:alpha:]]", "[]a-c.]*", "a[^-b]", "x*y", "*o*", "**b", "c?l*", "[b-]", "[!!]n", "[z-a]", "[a"),
    *("***", "\\[z\\]", "a*", "*/b", "", " ", "e\\\\f", "[a/b]", "[]-a]", "[\\]z]*", "[[:nope:]]", "\\", "a\\"),
]


def _pattern(rng: random.Random) -> str:
    body = "/".join(rng.choice(_PIECES) for _ in range(rng.choice([1, 1, 1, 2, 2, 3])))
    return rng.choice(["", "", "!"]) + rng.choice(["", "", "/"]) + body + rng.choice(["", "", "/", " ", "\\ ", "\r"])


def _grow(rng: random.Random, folder: Path, depth: int = 0) -> None:
    for name in rng.sample(_NAMES, rng.randint(2, 6)):
        if depth < 3 and rng.random() < 0.5:
            (folder / name).mkdir()
            _grow(rng, folder / name, depth + 1)
        else:
            (folder / name).write_text("x")
    if rng.random() < (0.4 if depth else 0.9):
        (folder / ".gitignore").write_text("".join(_pattern(rng) + "\n" for _ in range(rng.randint(1, 5))))


@pytest.mark.skipif(not shutil.which("git"), reason="needs git to compare with")
@pytest.mark.parametrize("seed", range(40))
def test_what_is_left_out_is_what_git_leaves_out(tmp_path: Path, seed: int) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    _grow(random.Random(seed), root)
    git = ["git", "-c", "core.excludesFile=/dev/null", "-c", "init.templateDir="]
    subprocess.run([*git, "init", "-q"], cwd=root, check=True)
    listed = subprocess.run([*git, "ls-files", "-zo", "--exclude-standard"], cwd=root, check=True, capture_output=True)
    expected = {os.fsdecode(name) for name in listed.stdout.split(b"\0") if name}
    total = sum(len(files) for folder, _, files in os.walk(root) if ".git" not in Path(folder).relative_to(root).parts)
    if not expected:
        with pytest.raises(ConfigError, match=f"all of its {total} files"):
            Corpus.load(root)
        return
    corpus = Corpus.load(root)
    assert set(names_of(corpus)) == expected
    assert corpus["ignored"] == total - len(expected)
