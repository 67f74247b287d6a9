"""Corpus.load: what it takes, what it refuses, and the handle that it returns."""

import codecs
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from rlm_agent.corpus import Corpus
from rlm_agent.errors import ConfigError, HomeError, StateVersionError
from rlm_agent.store.corpora import is_handle
from rlm_agent.store.home import Home, default_home

KOREAN = "안녕하세요, 세계\n둘째 줄\n"


@pytest.fixture(autouse=True)
def _closed_home() -> Iterator[None]:
    yield
    default_home().close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    for name, text in {"b.txt": "bee\n", "a/z.md": KOREAN, "a/한글.md": "이름\n", "empty.txt": ""}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


def text_of(handle: dict, home: Home | None = None) -> str:
    source = (home or default_home()).corpora.source(handle)
    assert source.kind == "text"
    assert source.index == ()
    return source.path.read_bytes().decode()


def files_of(handle: dict) -> dict[str, str]:
    source = default_home().corpora.source(handle)
    assert source.kind == "files"
    data = source.path.read_bytes()
    return {name: data[offset : offset + length].decode() for name, offset, length in source.index}


# --- text and bytes


@pytest.mark.parametrize("text", [KOREAN, "", "one line without a suffix", "x" * 5000, "😀" * 300_000 + "\n"])
def test_text_is_kept_whole(text: str) -> None:
    corpus = Corpus.load(text)
    assert text_of(corpus) == text
    assert (corpus["kind"], corpus["chars"], corpus["bytes"]) == ("text", len(text), len(text.encode()))
    assert (corpus["files"], corpus["skipped"], corpus["skipped_count"], corpus["recoded"]) == (0, [], 0, 0)
    assert corpus["home"] == default_home().id


def test_lone_surrogates_become_question_marks() -> None:
    assert text_of(Corpus.load("a\ud800b\n")) == "a?b\n"


@pytest.mark.parametrize(
    "encoded",
    [
        KOREAN.encode(),
        codecs.BOM_UTF8 + KOREAN.encode(),
        codecs.BOM_UTF16_LE + KOREAN.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + KOREAN.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + KOREAN.encode("utf-32-le"),
    ],
)
def test_bytes_and_files_are_read_by_their_mark(tmp_path: Path, encoded: bytes) -> None:
    (tmp_path / "f.txt").write_bytes(encoded)
    corpus, by_path = Corpus.load(encoded), Corpus.load(tmp_path / "f.txt")
    assert text_of(corpus) == text_of(by_path) == KOREAN
    assert corpus["digest"] == by_path["digest"] == Corpus.load(KOREAN)["digest"]
    assert corpus["recoded"] == 0


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_an_old_encoding_is_read_and_counted(tmp_path: Path, encoding: str) -> None:
    text = "caf\xe9 \x81 \n" if encoding == "latin-1" else "caf\xe9 \u201cquoted\u201d\n"
    late = "x" * 600_000 + text  # found out only after pieces were written
    (tmp_path / "f.txt").write_bytes(late.encode(encoding))
    corpus = Corpus.load(str(tmp_path / "f.txt"))
    assert text_of(corpus) == late
    assert corpus["recoded"] == 1


def test_a_character_across_a_piece_border_is_read(tmp_path: Path) -> None:
    text = "x" + "한" * 400_000
    (tmp_path / "f.txt").write_text(text, "utf-8")
    corpus = Corpus.load(tmp_path / "f.txt")
    assert corpus["chars"] == len(text)
    assert text_of(corpus) == text


# --- files, directories, globs


def test_a_directory_is_a_dict_in_the_order_of_its_paths(tree: Path) -> None:
    corpus = Corpus.load(tree)
    assert list(files_of(corpus)) == ["a/z.md", "a/한글.md", "b.txt", "empty.txt"]
    assert files_of(corpus)["a/z.md"] == KOREAN
    assert (corpus["kind"], corpus["files"], corpus["name"]) == ("files", 4, "docs")
    assert corpus["digest"] == Corpus.load(str(tree))["digest"] == Corpus.load(f"{tree}/")["digest"]


def test_binary_files_in_a_directory_are_skipped_counted_and_named(tree: Path) -> None:
    for number in range(30):
        (tree / f"bin{number:02}.dat").write_bytes(b"\x7fELF\0\0")
    (tree / "late.dat").write_bytes(b"x" * 600_000 + b"\0")
    corpus = Corpus.load(tree)
    assert list(files_of(corpus)) == ["a/z.md", "a/한글.md", "b.txt", "empty.txt"]
    assert (corpus["files"], corpus["skipped_count"], len(corpus["skipped"])) == (4, 31, 20)
    assert corpus["skipped"][0] == "bin00.dat"


def test_version_control_links_out_and_special_files_are_left_out(tree: Path, tmp_path: Path) -> None:
    (tree / ".git").mkdir()
    (tree / ".git" / "config").write_text("secret")
    (tree / ".hidden").write_text("kept")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f.txt").write_text("outside")
    (tree / "linked").symlink_to(tmp_path / "outside")
    (tree / "linked.txt").symlink_to(tmp_path / "outside" / "f.txt")
    (tree / "dangling").symlink_to(tmp_path / "nowhere")
    (tree / "within.txt").symlink_to(tree / "b.txt")
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    corpus = Corpus.load(tree)
    assert [*files_of(corpus)] == [".hidden", "a/z.md", "a/한글.md", "b.txt", "empty.txt", "within.txt"]
    assert set(corpus["skipped"]) == {"dangling", "linked", "linked.txt", "loop", "pipe"}


def test_a_folder_that_cannot_be_listed_is_named(tree: Path) -> None:
    folder = os.open(tree, os.O_RDONLY)
    for _ in range(20):  # deeper than any path may be long
        os.mkdir("x" * 250, dir_fd=folder)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    corpus = Corpus.load(tree)
    assert (corpus["files"], corpus["skipped_count"], len(corpus["skipped"][0]) > 3000) == (4, 1, True)


def test_a_home_inside_the_directory_is_no_part_of_it(tree: Path) -> None:
    with Home(tree / "home") as home:
        first = Corpus.load(tree, home)
        assert Corpus.load(tree, home)["digest"] == first["digest"]
        assert first["files"] == 4


def test_a_glob_names_files_from_its_fixed_part(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*files_of(Corpus.load(f"{tree}/**/*.md"))] == ["a/z.md", "a/한글.md"]
    assert [*files_of(Corpus.load(f"{tree}/a/z.*"))] == ["z.md"]
    monkeypatch.chdir(tree)
    assert [*files_of(Corpus.load("*.txt"))] == ["b.txt", "empty.txt"]
    assert [*files_of(Corpus.load(Path("a/*.md")))] == ["z.md", "한글.md"]


def test_an_existing_path_wins_over_a_glob(tree: Path) -> None:
    (tree / "[a].txt").write_text("literal")
    assert text_of(Corpus.load(f"{tree}/[a].txt")) == "literal"


def test_a_file_name_that_is_not_utf8_is_escaped(tree: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tree) + b"/\xff.txt"))).write_text("odd")
    assert files_of(Corpus.load(tree))["\\xff.txt"] == "odd"


# --- what it refuses, by name


def test_paths_that_do_not_work_are_named(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "x.png").write_bytes(b"\x89PNG\0")
    os.mkfifo(tmp_path / "pipe")
    for source, message in {
        tmp_path / "missing": "No such file or directory: .*missing",
        f"{tmp_path}/missing": "No such file or directory: .*missing",
        "missing.txt": r"No such file or directory: missing\.txt.*encode",
        f"{tree}/*.rst": r"No file matches .*\*\.rst",
        tmp_path / "void": "void: the directory holds no file",
        tmp_path / "bin": r"bin: none of its 1 files is readable text \(x\.png\)",
        tmp_path / "bin" / "x.png": r"x\.png is binary",
        tmp_path / "pipe": "pipe is neither a file nor a directory",
        "ftp://example.org/a": "download it and give the file",
    }.items():
        with pytest.raises(ConfigError, match=message):
            Corpus.load(source)
    assert list((default_home().path / "tmp").iterdir()) == []


def test_other_sources_are_refused_by_type() -> None:
    for source, message in (
        ({"a.txt"}, "cannot load a set"),
        (3, "cannot load a int"),
        (None, "NoneType"),
        (b"\0\1", "the bytes is binary"),
        (codecs.BOM_UTF16_LE + b"a", "binary"),
    ):
        with pytest.raises(ConfigError, match=message):
            Corpus.load(source)


# --- handles


def test_a_handle_passes_every_serialiser_unchanged(tree: Path) -> None:
    corpus = Corpus.load(tree)
    serde = JsonPlusSerializer(allowed_msgpack_modules=None)
    for copy in (
        json.loads(json.dumps(corpus)),
        msgpack.unpackb(msgpack.packb(corpus)),
        serde.loads_typed(serde.dumps_typed({"context": corpus}))["context"],
    ):
        assert copy == corpus
        assert is_handle(copy)
        assert default_home().corpora.adopt(copy) == corpus
    assert "docs" in repr(corpus)
    assert len(json.dumps(corpus)) < 2000


def test_the_same_content_is_stored_once(tree: Path) -> None:
    first = Corpus.load(tree)
    data = default_home().corpora.source(first).path
    before = data.stat()
    assert Corpus.load(tree) == first
    assert data.stat().st_ino == before.st_ino
    shutil.copytree(tree, tree.parent / "copy")
    assert Corpus.load(tree.parent / "copy")["digest"] == first["digest"]
    (tree / "b.txt").rename(tree / "c.txt")
    assert Corpus.load(tree)["digest"] != first["digest"]


def test_names_kinds_and_borders_are_part_of_the_digest(tmp_path: Path) -> None:
    digests = {Corpus.load("ab\n")["digest"]}
    for number, files in enumerate([{"x": "ab\n"}, {"x": "a", "y": "b\n"}, {"x": "ab", "y": "\n"}, {"y": "ab\n"}]):
        root = tmp_path / str(number)
        root.mkdir()
        for name, text in files.items():
            (root / name).write_text(text)
        digests.add(Corpus.load(root)["digest"])
    assert len(digests) == 5


@pytest.mark.parametrize("value", [KOREAN, "a/path.txt", "", ["한", 1, None, 2.5], {"k": [{"n": True}]}])
def test_a_raw_value_is_kept_as_it_is(value: object) -> None:
    handle = default_home().corpora.put_value(value)
    source = default_home().corpora.source(handle)
    data = source.path.read_bytes()
    assert (data.decode() if isinstance(value, str) else msgpack.unpackb(data)) == value
    assert (source.kind, is_handle(handle)) == ("text" if isinstance(value, str) else "json", True)


def test_a_raw_value_above_a_million_bytes_names_corpus_load() -> None:
    put = default_home().corpora.put_value
    put("x" * 10**6)
    for value in ("x" * (10**6 + 1), "한" * 400_000, ["x" * 10**6]):
        with pytest.raises(ConfigError, match=r"Corpus\.load"):
            put(value)


@pytest.mark.parametrize("value", [3, None, object(), {1: "a"}, [{"deep": {2: "a"}}], [object()], [10**30]])
def test_a_raw_value_that_is_no_plain_json_is_refused(value: object) -> None:
    with pytest.raises(ConfigError):
        default_home().corpora.put_value(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        [],
        {},
        {"rlm_corpus": 1},
        {"rlm_corpus": 1, "digest": "../../etc", "kind": "text"},
        {"digest": "a" * 64},
    ],
)
def test_what_is_no_handle_is_none(value: object) -> None:
    assert not is_handle(value)
    assert not default_home().corpora.is_handle(value)


def test_a_handle_of_another_open_home_is_copied(tmp_path: Path, tree: Path) -> None:
    with Home(tmp_path / "other") as other:
        corpus = Corpus.load(tree, other)
        adopted = default_home().corpora.adopt(corpus)
        assert adopted == {**corpus, "home": default_home().id}
        assert Corpus.load(corpus) == adopted | {"home": corpus["home"]}
        assert files_of(adopted)["a/z.md"] == KOREAN
    shutil.rmtree(tmp_path / "other")
    assert files_of(default_home().corpora.adopt(corpus))["b.txt"] == "bee\n"


def test_a_handle_of_a_home_that_is_not_open_names_both(tmp_path: Path, tree: Path) -> None:
    with Home(tmp_path / "other") as other:
        corpus = Corpus.load(tree, other)
    with pytest.raises(ConfigError, match=f"{corpus['home']}.*{default_home().id}.*Load it here again"):
        default_home().corpora.adopt(corpus)


def test_a_handle_of_a_newer_version_is_refused() -> None:
    with pytest.raises(StateVersionError):
        default_home().corpora.adopt({**Corpus.load(KOREAN), "rlm_corpus": 2})


def test_damage_is_found_and_mended_by_loading_again() -> None:
    corpus = Corpus.load(KOREAN)
    path = default_home().corpora.source(corpus).path
    path.write_bytes(b"cut")
    with pytest.raises(HomeError, match=f"{corpus['digest']}.*load it again"):
        default_home().corpora.source(corpus)
    assert not default_home().corpora.holds(corpus["digest"])
    assert text_of(Corpus.load(KOREAN)) == KOREAN


def test_a_large_text_and_thousands_of_files_load(tmp_path: Path) -> None:
    line = "The quick brown fox, 빠른 갈색 여우.\n"
    (tmp_path / "big.txt").write_text(line * (100_000_000 // len(line.encode()) + 1), "utf-8")
    corpus = Corpus.load(tmp_path / "big.txt")
    assert corpus["bytes"] >= 100_000_000
    (tmp_path / "many").mkdir()
    for number in range(2000):
        (tmp_path / "many" / f"{number:04}.txt").write_text(f"file {number}")
    files = Corpus.load(tmp_path / "many")
    assert files["files"] == 2000
    assert files_of(files)["1234.txt"] == "file 1234"
