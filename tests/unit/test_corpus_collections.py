"""Corpus.load of lists and dicts of sources: the names that their texts get."""

import gzip
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_agent.corpus import Corpus
from rlm_agent.errors import ConfigError
from rlm_agent.store.home import Home, default_home

KOREAN = "안녕하세요, 세계\n둘째 줄\n"


@pytest.fixture(autouse=True)
def _closed_home() -> Iterator[None]:
    yield
    assert list((default_home().path / "tmp").iterdir()) == []
    default_home().close()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "files"
    for name in ("a/readme.md", "b/readme.md", "b/deep/readme.md", "c/a/readme.md", "b/notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name} 한글\n", "utf-8")
    (root / "b" / "x.png").write_bytes(b"\x89PNG\0")
    monkeypatch.chdir(root)
    return root


def files_of(handle: dict) -> dict[str, str]:
    source = default_home().corpora.source(handle)
    assert (source.kind, handle["kind"]) == ("files", "files")
    data = source.path.read_bytes()
    assert len({name for name, _, _ in source.index}) == len(source.index) == handle["files"]
    return {name: data[offset : offset + length].decode() for name, offset, length in source.index}


def names_of(handle: dict) -> list[str]:
    return list(files_of(handle))


# --- lists


def test_texts_are_named_by_their_position() -> None:
    corpus = Corpus.load(["one\n", b"two", KOREAN, "", "one\n"])
    assert files_of(corpus) == {"0": "one\n", "1": "two", "2": KOREAN, "3": "", "4": "one\n"}
    assert (corpus["name"], corpus["files"], corpus["chars"]) == ("5 sources", 5, 11 + len(KOREAN))
    assert Corpus.load(("one\n", b"two", KOREAN, "", "one\n"))["digest"] == corpus["digest"]
    assert Corpus.load([b"two", "one\n", KOREAN, "", "one\n"])["digest"] != corpus["digest"]


def test_files_are_named_by_as_many_folders_as_tell_them_apart(tree: Path) -> None:
    assert names_of(Corpus.load(["a/readme.md", Path("b/notes.txt")])) == ["readme.md", "notes.txt"]
    assert names_of(Corpus.load(["b/readme.md", "a/readme.md", "b/notes.txt"])) == [
        "b/readme.md",
        "a/readme.md",
        "notes.txt",
    ]
    corpus = Corpus.load(["a/readme.md", "c/a/readme.md", "b/readme.md", tree / "b" / "deep" / "readme.md"])
    assert names_of(corpus) == ["files/a/readme.md", "c/a/readme.md", "b/readme.md", "deep/readme.md"]
    assert files_of(corpus)["c/a/readme.md"] == "c/a/readme.md 한글\n"


def test_equal_names_get_a_number(tree: Path) -> None:
    same = ["a/readme.md", tree / "a" / "readme.md", "./a/../a/readme.md", "text\n"]
    assert names_of(Corpus.load(same)) == ["readme.md", "readme.md (2)", "readme.md (3)", "3"]
    (tree / "0").write_text("a file called 0")
    assert names_of(Corpus.load(["text\n", "0"])) == ["0", "0 (2)"]


def test_what_holds_several_texts_puts_its_name_before_theirs(tree: Path) -> None:
    with zipfile.ZipFile(tree / "z.zip", "w") as archive:
        archive.writestr("in.txt", "zipped")
        archive.writestr("bin", b"\0")
    (tree / "log.txt.gz").write_bytes(gzip.compress(KOREAN.encode("cp949")))
    corpus = Corpus.load(["b", "a/*.md", "z.zip", "b/deep/", "log.txt.gz", "text\n"])
    assert names_of(corpus) == [
        "b/deep/readme.md",
        "b/notes.txt",
        "b/readme.md",
        "a/readme.md",
        "z.zip/in.txt",
        "deep/readme.md",
        "log.txt.gz",
        "5",
    ]
    assert files_of(corpus)["log.txt.gz"] == KOREAN
    assert (corpus["skipped"], corpus["recoded_as"]) == (["b/x.png", "z.zip/bin"], {"log.txt.gz": "cp949"})
    assert names_of(Corpus.load(["a", "c/a"])) == ["files/a/readme.md", "c/a/readme.md"]


def test_ignored_files_of_all_directories_are_counted(tree: Path) -> None:
    for name in ("a", "b"):
        (tree / name / ".gitignore").write_text("*.txt\n")
        (tree / name / "more.txt").write_text("x")
    assert Corpus.load(["a", "b"])["ignored"] == 3


def test_lists_within_lists_are_part_of_them(tree: Path) -> None:
    corpus = Corpus.load(["a/readme.md", ["b/readme.md", "text\n"], {"key": ["one\n"]}])
    assert names_of(corpus) == ["readme.md", "1/readme.md", "1/1", "2/key/0"]


def test_a_list_of_one_is_still_a_dict_of_names(tree: Path) -> None:
    assert names_of(Corpus.load(["a/readme.md"])) == ["readme.md"]


# --- dicts


def test_keys_are_the_names(tree: Path) -> None:
    corpus = Corpus.load(
        {"질문": "무엇?\n", "file": "a/readme.md", "all": Path("b"), "한 줄": b"one line", "z": "plain"}
    )
    assert files_of(corpus)["질문"] == "무엇?\n"
    assert names_of(corpus) == [
        "질문",
        "file",
        "all/deep/readme.md",
        "all/notes.txt",
        "all/readme.md",
        "한 줄",
        "z",
    ]
    assert corpus["skipped"] == ["all/x.png"]
    assert Corpus.load({"a/x": "1\n", "a": "b/deep"})["files"] == 2


def test_a_name_that_a_directory_makes_too_gets_a_number(tree: Path) -> None:
    assert names_of(Corpus.load({"a/readme.md": "first\n", "a": "a"})) == ["a/readme.md", "a/readme.md (2)"]


@pytest.mark.parametrize("key", [1, None, "", ("a",), b"a"])
def test_keys_that_are_no_names_are_refused(key: object) -> None:
    with pytest.raises(ConfigError, match="is no name"):
        Corpus.load({key: "text\n"})


# --- handles


def test_handles_are_members(tree: Path, tmp_path: Path) -> None:
    text, folder = Corpus.load("a text\nof two lines\n"), Corpus.load("b")
    odd = Corpus.load("%PDF-1.4 \0 \ud800 and whatever else a str holds\n")
    value = default_home().corpora.put_value({"k": ["한", 1]})
    with Home(tmp_path / "other") as other:
        foreign = Corpus.load(tree / "a" / "readme.md", other)
        corpus = Corpus.load([text, dict(folder), foreign, value, odd])
        named = Corpus.load({"t": text, "f": folder, "o": odd})
    assert files_of(corpus) == {
        "text": "a text\nof two lines\n",
        "b/deep/readme.md": "b/deep/readme.md 한글\n",
        "b/notes.txt": "b/notes.txt 한글\n",
        "b/readme.md": "b/readme.md 한글\n",
        "readme.md": "a/readme.md 한글\n",
        "value": '{"k": ["한", 1]}',
        "text (2)": "%PDF-1.4 \0 ? and whatever else a str holds\n",
    }
    assert corpus["chars"] == sum(map(len, files_of(corpus).values()))
    assert names_of(named) == ["t", "f/deep/readme.md", "f/notes.txt", "f/readme.md", "o"]


def test_a_handle_of_a_home_that_is_not_open_is_refused(tree: Path, tmp_path: Path) -> None:
    with Home(tmp_path / "other") as other:
        foreign = Corpus.load("a", other)
    with pytest.raises(ConfigError, match=rf"belongs to the home {foreign['home']}"):
        Corpus.load(["text\n", foreign])


def test_a_list_equals_itself_however_its_members_were_given(tree: Path) -> None:
    by_path, by_handle = Corpus.load({"a": "a", "b": "b"}), Corpus.load({"a": Corpus.load("a"), "b": Corpus.load("b")})
    assert by_path["digest"] == by_handle["digest"]


# --- what is refused


def test_a_source_that_cannot_be_loaded_is_named_before_anything_is_read(tree: Path) -> None:
    huge = tree / "huge.txt"
    huge.write_text("x" * 50_000_000)
    started = time.monotonic()
    for source, message in (
        ([huge, "missing.txt"], r"Source '1' of the list: No such file or directory: missing\.txt.*encode"),
        ({"a": huge, "b": Path("gone")}, r"Source 'b' of the dict: No such file or directory: gone"),
        (("a", 3), r"Source '1' of the tuple: Corpus\.load cannot load a int"),
        ([["x\n", None]], r"Source '0' of the list: Source '1' of the list: .*NoneType"),
        ([huge, []], r"Source '1' of the list: .*empty list"),
        ([], "empty list"),
        ({}, "empty dict"),
        ({"rlm_corpus": 1}, r"Source 'rlm_corpus' of the dict.*int"),
    ):
        with pytest.raises(ConfigError, match=message):
            Corpus.load(source)
    assert time.monotonic() - started < 0.5


def test_what_a_list_names_itself_must_be_text(tree: Path) -> None:
    (tree / "void").mkdir()
    for source, message in (
        (["a/readme.md", "b/x.png"], r"b/x\.png is binary"),
        ({"a": b"\0\1"}, "the bytes is binary"),
        (["a", "void"], "void: the directory holds no file"),
        (["a", "b/*.png"], r"b/\*\.png: none of its 1 files is readable text"),
    ):
        with pytest.raises(ConfigError, match=message):
            Corpus.load(source)


def test_many_texts_and_files_of_one_name_load_fast(tree: Path) -> None:
    for number in range(3000):
        (tree / "many" / f"{number}" / "same").mkdir(parents=True)
        (tree / "many" / f"{number}" / "same" / "x.txt").write_text(f"{number}")
    started = time.monotonic()
    paths = sorted((tree / "many").rglob("x.txt"), key=lambda path: int(path.parts[-3]))
    files = Corpus.load(paths)
    assert files_of(files)["1234/same/x.txt"] == "1234"
    texts = Corpus.load([f"{number}\n" for number in range(10_000)])
    assert files_of(texts)["1234"] == "1234\n"
    assert names_of(Corpus.load([io.BytesIO(b"x").read()] * 3)) == ["0", "1", "2"]
    assert time.monotonic() - started < 5
