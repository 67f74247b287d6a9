"""Corpus.load of archives and compressed texts: what it reads, what it refuses, and with how much memory."""

import bz2
import gzip
import io
import lzma
import os
import random
import stat
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlm_agent.corpus import Corpus
from rlm_agent.errors import ConfigError
from rlm_agent.store.home import default_home

KOREAN = "안녕하세요, 세계\n둘째 줄\n"
TEXTS = {"a/z.md": KOREAN, "a/한글.md": "이름\n", "b.txt": "bee\n", "empty.txt": ""}
FORMATS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")

Tree = dict[str, str | bytes]
Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(autouse=True)
def _closed_home() -> Iterator[None]:
    yield
    default_home().close()


def files_of(handle: dict) -> dict[str, str]:
    source = default_home().corpora.source(handle)
    assert source.kind == "files"
    data = source.path.read_bytes()
    return {name: data[offset : offset + length].decode() for name, offset, length in source.index}


def text_of(handle: dict) -> str:
    source = default_home().corpora.source(handle)
    assert source.kind == "text"
    return source.path.read_bytes().decode()


def bytes_of(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def file_member(name: str, content: str | bytes = "x\n") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(bytes_of(content))
    return info, bytes_of(content)


def special(name: str, kind: bytes, target: str = "b.txt") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def tar_of(*members: Member, mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(members: dict[str | zipfile.ZipInfo, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content, method)
    return buffer.getvalue()


def packed(form: str, tree: Tree) -> bytes:
    if form == "zip":
        return zip_of(dict(tree))
    mode = "w:" + form.removeprefix("tar").removeprefix(".")
    return tar_of(*(file_member(name, content) for name, content in tree.items()), mode=mode)


# --- what it reads


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["right", "archive.bin"])
def test_an_archive_is_known_by_its_bytes_and_equals_its_directory(tmp_path: Path, form: str, name: str) -> None:
    for path, text in TEXTS.items():
        (tmp_path / "docs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / path).write_text(text, "utf-8")
    file = tmp_path / (f"docs.{form}" if name == "right" else name)
    file.write_bytes(packed(form, dict(reversed(TEXTS.items()))))
    corpus = Corpus.load(file)
    assert files_of(corpus) == TEXTS
    assert (corpus["kind"], corpus["files"], corpus["name"]) == ("files", 4, file.name)
    assert corpus["digest"] == Corpus.load(tmp_path / "docs")["digest"] == Corpus.load(file.read_bytes())["digest"]


@pytest.mark.parametrize("form", FORMATS)
def test_binary_members_are_skipped_counted_and_named(form: str) -> None:
    binary: Tree = {f"bin/{number:02}.dat": b"\x7fELF\0\0" * 200 for number in range(30)}
    late = {"late.dat": b"x" * 600_000 + b"\0", "inner.zip": zip_of({"a.txt": "inside"})}
    corpus = Corpus.load(packed(form, {"first.txt": "one\n", **binary, **late, "last.txt": "two\n"}))
    assert files_of(corpus) == {"first.txt": "one\n", "last.txt": "two\n"}
    assert (corpus["files"], corpus["skipped_count"], len(corpus["skipped"])) == (2, 32, 20)
    assert corpus["skipped"][0] == "bin/00.dat"


@pytest.mark.parametrize("form", FORMATS)
def test_old_encodings_in_an_archive_are_read_whatever_the_size(form: str) -> None:
    tree: Tree = {"small.txt": (KOREAN * 3).encode("cp949"), "large.txt": (KOREAN * 60_000).encode("cp949"), "z": "z\n"}
    corpus = Corpus.load(packed(form, tree))
    assert files_of(corpus) == {"small.txt": KOREAN * 3, "large.txt": KOREAN * 60_000, "z": "z\n"}
    assert (corpus["recoded"], set(corpus["recoded_as"])) == (2, {"small.txt", "large.txt"})


@pytest.mark.parametrize("form", FORMATS)
def test_names_are_cleaned_and_version_control_is_left_out(form: str) -> None:
    tree: Tree = {
        "./a.txt": "a",
        "p//b.txt": "b",
        ".git/config": "secret",
        "p/.svn/x": "s",
        "CVS": "a file",
        "é": "e",
        "w/.git": "gitdir",
    }
    assert files_of(Corpus.load(packed(form, tree))) == {"a.txt": "a", "p/b.txt": "b", "CVS": "a file", "é": "e"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", FORMATS)
def test_equal_names_are_kept_apart(form: str) -> None:
    tree: Tree = {"a.txt": "1", "./a.txt": "2", "./././a.txt": "3", "a.txt (2)": "4"}
    assert sorted(files_of(Corpus.load(packed(form, tree))).items()) == [
        ("a.txt", "1"),
        ("a.txt (2)", "2"),
        ("a.txt (2) (2)", "4"),
        ("a.txt (3)", "3"),
    ]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_every_kind_of_tar_header_is_read(form: int) -> None:
    long = "d/" * 60 + "이름" * 10 + ".txt"
    pieces = [
        file_member("short.txt"),
        file_member(long, KOREAN),
        special("d", tarfile.DIRTYPE),
        file_member("end.txt"),
    ]
    data = tar_of(*pieces, form=form)
    assert files_of(Corpus.load(data)) == {"short.txt": "x\n", long: KOREAN, "end.txt": "x\n"}


def test_global_headers_sizes_in_pax_headers_and_a_missing_end_are_read() -> None:
    info, content = file_member("한.txt", KOREAN)
    info.pax_headers = {"size": str(len(content)), "comment": "a=b\nc"}
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x" * 2000}
    ) as archive:
        archive.addfile(info, io.BytesIO(content))
    data = buffer.getvalue().rstrip(b"\0")
    assert files_of(Corpus.load(data + bytes(-len(data) % 512))) == {"한.txt": KOREAN}


def test_a_size_that_only_a_pax_header_tells_is_read() -> None:
    """As archives of files above 8 GB have it."""
    info, content = file_member("big.txt", KOREAN)
    info.pax_headers = {"size": str(len(content))}
    data = bytearray(tar_of((info, content), file_member("next.txt")))
    header = data.index(b"big.txt\0", 1024)
    data[header + 124 : header + 136] = b"0" * 11 + b"\0"
    data[header + 148 : header + 156] = b" " * 8
    data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
    assert files_of(Corpus.load(bytes(data))) == {"big.txt": KOREAN, "next.txt": "x\n"}


def test_what_other_programs_pack_is_read(tmp_path: Path) -> None:
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "sub" / "한글.txt").write_text(KOREAN)
    for command in (["tar", "czf", "x.tgz", "src"], ["tar", "cJf", "x.txz", "src"], ["zip", "-qr", "x.zip", "src"]):
        if subprocess.run(["which", command[0]], capture_output=True).returncode:
            continue
        subprocess.run(command, cwd=tmp_path, check=True)
        assert files_of(Corpus.load(tmp_path / command[2])) == {"src/sub/한글.txt": KOREAN}


@pytest.mark.parametrize("encoding", ["cp949", "utf-8", "cp932"])
def test_zip_names_without_the_mark_of_utf8_are_read_as_they_were_meant(encoding: str) -> None:
    name = "ひらがなのファイル.txt" if encoding == "cp932" else "보고서/회의록.txt"
    unmarked = name.encode(encoding).decode("cp437")
    data = zip_of({unmarked: KOREAN}).replace(unmarked.encode(), name.encode(encoding))
    raw, marked = name.encode(encoding), unmarked.encode()
    parts = bytearray(data)
    for signature, at_flags, at_length in ((b"PK\3\4", 6, 26), (b"PK\1\2", 8, 28)):
        start = data.index(signature)
        flags, length = struct.unpack_from("<H", data, start + at_flags)[0], len(raw)
        struct.pack_into("<H", parts, start + at_flags, flags & ~0x800)
        struct.pack_into("<H", parts, start + at_length, length)
    shorter = len(marked) - len(raw)
    end = parts.rindex(b"PK\5\6")
    size, offset = struct.unpack_from("<LL", parts, end + 12)
    struct.pack_into("<LL", parts, end + 12, size - shorter, offset - shorter)
    assert files_of(Corpus.load(bytes(parts))) == {name: KOREAN}


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_text_is_one_text(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    text = KOREAN * 50_000
    file = tmp_path / {gzip.compress: "log.txt.gz", bz2.compress: "log.txt.bz2"}.get(compress, "log.txt.xz")
    file.write_bytes(compress(text[:7].encode()) + compress(text[7:].encode()))
    corpus = Corpus.load(file)
    assert text_of(corpus) == text
    assert (corpus["kind"], corpus["name"], corpus["files"]) == ("text", "log.txt", 1)
    assert text_of(Corpus.load(compress(KOREAN.encode("cp949")))) == KOREAN
    with pytest.raises(ConfigError, match="is binary"):
        Corpus.load(compress(compress(b"twice")))


def test_text_that_only_begins_like_an_archive_is_text() -> None:
    for text in ("BZh, he said.\n", "PK\n", "ustar\n"):
        assert text_of(Corpus.load(text.encode())) == text


# --- hostile members


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (file_member("/etc/passwd"), "absolute path"),
        (file_member("C:\\Windows\\x.txt"), "absolute path"),
        (file_member("\\\\server\\x.txt"), "absolute path"),
        (file_member("a/../../x.txt"), "points out"),
        (file_member("a\\..\\x.txt"), "points out"),
        (file_member(".."), "points out"),
        (special("link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (special("link", tarfile.SYMTYPE, "b.txt"), "is a link"),
        (special("link", tarfile.LNKTYPE, "b.txt"), "is a link"),
        (special("device", tarfile.CHRTYPE), "is a device"),
        (special("device", tarfile.BLKTYPE), "is a device"),
        (special("pipe", tarfile.FIFOTYPE), "is a named pipe"),
        (special("sparse", tarfile.GNUTYPE_SPARSE), "is a sparse file"),
        (special("../up", tarfile.DIRTYPE), "points out"),
    ],
)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_hostile_member_of_a_tar_refuses_all_of_it_by_name(member: Member, why: str, mode: str) -> None:
    data = tar_of(file_member("b.txt"), member, file_member("c.txt"), mode=mode)
    with pytest.raises(ConfigError, match=why) as raised:
        Corpus.load(data)
    assert repr(member[0].name) in str(raised.value)
    assert os.listdir(default_home().path / "corpora") == os.listdir(default_home().path / "tmp") == []


@pytest.mark.parametrize("name", ["/etc/passwd", "C:/x.txt", "a/../../x.txt", "../x/", "a\\..\\..\\b"])
def test_a_hostile_name_in_a_zip_refuses_all_of_it(name: str) -> None:
    with pytest.raises(ConfigError, match=r"absolute path|points out") as raised:
        Corpus.load(zip_of({"b.txt": "bee", name: "" if name.endswith("/") else "x"}))
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(mode: int) -> None:
    info = zipfile.ZipInfo("odd")
    info.external_attr = (mode | 0o777) << 16
    with pytest.raises(ConfigError, match=r"'odd' is a (link|device)"):
        Corpus.load(zip_of({"b.txt": "bee", info: "/etc/passwd"}))


def test_names_with_nul_bytes_and_without_any_are_refused() -> None:
    hidden = zip_of({"a.txt": "x", "b_txt": "y"}).replace(b"b_txt", b"b\0txt")
    for data, message in ((hidden, r"'b\\x00txt' has no usable name"), (tar_of(file_member("")), "'' has no usable")):
        with pytest.raises(ConfigError, match=message):
            Corpus.load(data)


def test_an_encrypted_member_is_named() -> None:
    data = bytearray(zip_of({"open.txt": "x", "secret.txt": "y"}))
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.rindex(signature) + flags] |= 1
    with pytest.raises(ConfigError, match=r"'secret\.txt' is encrypted"):
        Corpus.load(bytes(data))


def test_methods_that_unpack_without_bound_are_refused() -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(ConfigError, match=r"'x\.txt' is packed by a method"):
            Corpus.load(zip_of({"x.txt": "text"}, method))


def test_office_documents_and_foreign_archives_say_what_to_do(tmp_path: Path) -> None:
    for data in (
        zip_of({"[Content_Types].xml": "<x/>", "word/document.xml": "<x/>"}),
        zip_of({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<x/>"}),
    ):
        (tmp_path / "a.docx").write_bytes(data)
        with pytest.raises(ConfigError, match=r"a\.docx is an office document.*convert"):
            Corpus.load(tmp_path / "a.docx")
    for magic, kind in (
        (b"7z\xbc\xaf\x27\x1c\0\0", "7z"),
        (b"Rar!\x1a\x07\0\0", "rar"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
    ):
        (tmp_path / "a.bin").write_bytes(magic)
        with pytest.raises(ConfigError, match=rf"does not unpack {kind} data: unpack .*a\.bin"):
            Corpus.load(tmp_path / "a.bin")


def test_an_archive_without_text_says_so() -> None:
    for empty in (zip_of({}), zip_of({"folder/": ""}), tar_of(special("folder", tarfile.DIRTYPE), mode="w:gz")):
        with pytest.raises(ConfigError, match="the archive holds no file"):
            Corpus.load(empty)
    for form in FORMATS:
        with pytest.raises(ConfigError, match=r"none of its 1 files is readable text \(x\.png\)"):
            Corpus.load(packed(form, {"x.png": b"\x89PNG\0"}))


# --- damage


@pytest.mark.parametrize("form", FORMATS)
def test_an_archive_that_is_cut_off_is_refused(form: str) -> None:
    noise = "".join(random.Random(1).choices("abcdefgh \n", k=30_000))
    data = packed(form, {"first.txt": noise, "second.txt": noise})
    for part in (0.3, 0.6, 0.8):
        with pytest.raises(ConfigError, match=r"cannot be unpacked.*damaged or cut off"):
            Corpus.load(data[: int(len(data) * part) // 512 * 512 + 100])


@pytest.mark.parametrize("form", FORMATS[:1] + FORMATS[2:])
def test_a_changed_byte_is_found_by_the_checksum(form: str) -> None:
    noise = "".join(random.Random(2).choices("abcdefgh \n", k=30_000))
    data = bytearray(packed(form, {"first.txt": noise}))
    data[len(data) // 2] ^= 1
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        Corpus.load(bytes(data))


def test_a_tar_header_that_is_damaged_is_no_end() -> None:
    data = bytearray(tar_of(file_member("first.txt"), file_member("second.txt")))
    data[data.index(b"second.txt")] ^= 1
    with pytest.raises(ConfigError, match=r"cannot be unpacked at its member 'first\.txt' \(bad checksum\)"):
        Corpus.load(bytes(data))


def test_a_zip_whose_headers_disagree_is_refused() -> None:
    data = zip_of({"한.txt": KOREAN})
    for name in (b"\xff\xfe\xfd.txt", b"abc.txt"):
        with pytest.raises(ConfigError, match=r"cannot be unpacked at its member '한\.txt'"):
            Corpus.load(data.replace("한.txt".encode(), name, 1))


def test_any_damage_ends_in_a_clear_error_or_a_corpus() -> None:
    rng = random.Random(3)
    whole = [packed(form, dict(TEXTS)) for form in FORMATS] + [tar_of(file_member("d/" * 99), form=tarfile.GNU_FORMAT)]
    refused = 0
    for _ in range(400):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.choice([1, 2, 10])):
            data[rng.randrange(len(data))] = rng.choice([0, 57, 128, 255, rng.randrange(256)])
        try:
            Corpus.load(bytes(data[: rng.choice([len(data), rng.randrange(1, len(data))])]))
        except ConfigError:
            refused += 1
    assert refused > 100
    assert os.listdir(default_home().path / "tmp") == []


# --- bombs and memory


def test_a_bomb_is_refused_by_its_ratio() -> None:
    bomb = gzip.compress(tar_of(file_member("small.txt"), file_member("bomb.txt", b" " * 200_000_000)), 1)
    assert len(bomb) < 1_000_000
    with pytest.raises(ConfigError, match=r"'bomb\.txt' unpacks to more than 200 times its size"):
        Corpus.load(bomb)
    with pytest.raises(ConfigError, match="unpacks to more than 200 times"):
        Corpus.load(zip_of({"bomb.txt": b" " * 200_000_000}))


@pytest.mark.parametrize("header", ["path", "size"])
def test_a_header_of_absurd_size_is_refused_unread(header: str) -> None:
    info, content = file_member("x.txt")
    info.pax_headers = {"path" if header == "path" else "comment": "x" * (1 << 21)}
    with pytest.raises(ConfigError, match="is a header of 2,09"):
        Corpus.load(tar_of((info, content)))


def test_an_xz_file_that_asks_for_gigabytes_is_refused() -> None:
    data = bytearray(lzma.compress(KOREAN.encode()))
    end = 12 + 4 * data[12]  # of the block's header, up to its checksum (xz file format, 3.1)
    data[16] = 38  # a dictionary of 2 GiB
    data[end : end + 4] = zlib.crc32(data[12:end]).to_bytes(4, "little")
    with pytest.raises(ConfigError, match=r"cannot be unpacked.*Memory usage limit exceeded"):
        Corpus.load(bytes(data))


def test_a_table_of_contents_with_endless_entries_is_refused_before_it_is_parsed() -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    table = entry * 300_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, len(table), 30, 0)
    data = b"PK\3\4" + bytes(26) + table + end
    tracemalloc.start()
    with pytest.raises(ConfigError, match="more than 200,000 members"):
        Corpus.load(data)
    assert tracemalloc.get_traced_memory()[1] < 4 * len(data)
    tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_a_large_member_takes_no_memory_of_its_size(tmp_path: Path, form: str) -> None:
    line = "The quick brown fox, 빠른 갈색 여우 {}.\n"
    text = "".join(map(line.format, range(2_200_000)))
    part = text[: len(text) // 4]
    (tmp_path / f"big.{form}").write_bytes(packed(form, {"utf8.txt": text, "cp949.txt": part.encode("cp949")}))
    tracemalloc.start()
    corpus = Corpus.load(tmp_path / f"big.{form}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (corpus["bytes"], corpus["recoded"]) == (len(text.encode()) + len(part.encode()), 1)
    assert corpus["bytes"] > 100_000_000
    assert peak < 10_000_000
