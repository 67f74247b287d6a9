"""Corpus.load of texts in other encodings than UTF-8, and of what is no text."""

import codecs
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_agent.corpus import Corpus
from rlm_agent.errors import ConfigError
from rlm_agent.store.home import default_home

TEXTS = {
    "ko": "안녕하세요. 이 문서는 옛날 방식으로 저장된 한국어 글입니다.\n회의록과 보고서를 정리했습니다.\n",
    "ja": "これは古い文字コードで保存された文章です。\n会議の議事録と報告書をまとめました。\n",
    "zh": "这是用旧编码保存的中文文本。\n我们整理了会议记录和报告，请大家查看。\n",
    "tw": "這是用舊編碼保存的中文文本。\n我們整理了會議記錄和報告，請大家查看。\n",
    "ru": "Это русский текст, сохранённый в старой кодировке.\nМы собрали протоколы и отчёты за этот год.\n",
    "el": "Αυτό είναι ένα ελληνικό κείμενο σε παλιά κωδικοποίηση.\n",
    "ar": "هذا نص عربي محفوظ بترميز قديم من ويندوز ونحن نقرأه اليوم\n",
    "th": "นี่คือข้อความภาษาไทยที่บันทึกด้วยรหัสเก่า\nและเราอ่านได้\n",
    "fr": "Voilà un été où l'élève reçoit ses notes, déjà à Noël. Ça va bientôt.\n",
    "de": "Die Straße ist schön, die Bücher gehören übrigens Herrn Müller.\n",
    "es": "El niño comió mañana en la montaña, ¿verdad? ¡Sí!\n",
    "pt": "A informação não está disponível, então não há solução à mão.\n",
    "pl": "Zażółć gęślą jaźń, to jest polski tekst zapisany w starym kodowaniu.\n",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy. Dědeček šel za řekou.\n",
    "tr": "Şu ışığı söndürüp dağın eteğindeki ağaçlığa çıktık, çünkü güneş doğuyordu.\n",
    "en": "It was 20°C at José’s café – “nice”, he said.\n",
}


@pytest.fixture(autouse=True)
def _closed_home() -> Iterator[None]:
    yield
    default_home().close()


def text_of(handle: dict) -> str:
    return default_home().corpora.source(handle).path.read_bytes().decode()


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("ko", "euc_kr"),
        ("ko", "cp949"),
        ("ja", "shift_jis"),
        ("ja", "euc_jp"),
        ("zh", "gbk"),
        ("zh", "gb18030"),
        ("tw", "big5"),
        ("ru", "cp1251"),
        ("ru", "koi8_r"),
        ("el", "cp1253"),
        ("ar", "cp1256"),
        ("th", "cp874"),
        ("fr", "latin_1"),
        ("de", "latin_1"),
        ("es", "cp1252"),
        ("pt", "latin_1"),
        ("pl", "cp1250"),
        ("pl", "iso8859_2"),
        ("cs", "cp1250"),
        ("cs", "iso8859_2"),
        ("tr", "cp1254"),
        ("en", "cp1252"),
    ],
)
@pytest.mark.parametrize("times", [1, 40])
def test_old_encodings_are_told_by_their_characters(tmp_path: Path, language: str, encoding: str, times: int) -> None:
    text = TEXTS[language] * times
    (tmp_path / "old.txt").write_bytes(text.encode(encoding))
    corpus = Corpus.load(tmp_path / "old.txt")
    assert text_of(corpus) == text
    assert (corpus["recoded"], list(corpus["recoded_as"])) == (1, ["old.txt"])
    assert corpus["digest"] == Corpus.load(text.encode())["digest"]


def test_names_of_many_western_languages_in_one_text_are_read() -> None:
    text = "Gödel, Köln, Pérez, Núria, Gómez, Ávila, Müller, Índia, São, Ñandu\n"
    assert text_of(Corpus.load(text.encode("cp1252"))) == text


def test_korean_in_few_characters_and_in_code_is_read() -> None:
    for text in (
        "이름,나이\n홍길동,20\n",
        "한글\n",
        "def f(x):  # 값을 더한다\n    return x + 1\n",
        "값: 3.5℃ (섭씨)\n",
    ):
        assert text_of(Corpus.load(text.encode("cp949"))) == text


@pytest.mark.parametrize("before", [10, 300_000, 800_000])
@pytest.mark.parametrize("newline", ["\n", " "])
def test_an_encoding_is_found_however_late_it_shows(before: int, newline: str) -> None:
    text = ("plain ascii words" + newline) * (before // 18) + TEXTS["ko"] * 20
    corpus = Corpus.load(text.encode("cp949"))
    assert text_of(corpus) == text
    assert set(corpus["recoded_as"].values()) == {"cp949"}


def test_a_giant_line_without_a_space_is_read() -> None:
    text = "가나다라마바사아자차카타파하" * 40_000
    assert text_of(Corpus.load(("x" + text).encode("cp949"))) == "x" + text
    assert text_of(Corpus.load(("[" + '"ascii",' * 50_000 + text).encode("cp949")))[-5:] == text[-5:]


def test_names_of_recoded_texts_are_in_the_handle_at_most_twenty(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number:02}.txt").write_bytes(TEXTS["ko" if number % 2 else "fr"].encode("cp949", "ignore"))
    (tmp_path / "utf8.txt").write_text(TEXTS["ko"], "utf-8")
    corpus = Corpus.load(tmp_path)
    korean = {name for name, codec in corpus["recoded_as"].items() if codec == "cp949"}
    assert corpus["recoded"] >= 12
    assert len(corpus["recoded_as"]) <= 20
    assert "01.txt" in korean
    assert "utf8.txt" not in corpus["recoded_as"]


# --- damage


def test_damaged_utf8_stays_utf8(tmp_path: Path) -> None:
    text = TEXTS["ko"] * 1000
    data = bytearray(text.encode())
    data[5000:5001] = b""
    (tmp_path / "cut.log").write_bytes(bytes(data))
    corpus = Corpus.load(tmp_path / "cut.log")
    assert text_of(corpus).count("\ufffd") in (1, 2)
    assert text_of(corpus)[:100] == text[:100]
    assert text_of(corpus)[-100:] == text[-100:]
    assert corpus["recoded_as"] == {"cut.log": "utf-8 (damaged)"}
    marked = Corpus.load(codecs.BOM_UTF8 + bytes(data))
    assert text_of(marked) == text_of(corpus)
    assert (marked["recoded"], marked["recoded_as"]) == (1, {"bytes": "utf-8 (damaged)"})


@pytest.mark.parametrize("at", [300, 40_000])
def test_damage_in_one_line_does_not_hide_an_old_encoding(at: int) -> None:
    text = TEXTS["ko"] * 1000
    data = bytearray(text.encode("cp949"))
    data[at:at] = b"\x80\xff"
    corpus = Corpus.load(bytes(data))
    assert text_of(corpus)[:50] == text[:50]
    assert text_of(corpus)[-50:] == text[-50:]
    assert corpus["recoded_as"] == {"bytes": "cp949 (damaged)"}


# --- what a text says about itself


@pytest.mark.parametrize(
    "text",
    [
        '<html><head><meta charset="euc-kr"></head><body>喜怒哀樂</body></html>',
        '<?xml version="1.0" encoding="EUC-KR"?><a>喜怒哀樂</a>',
        "# -*- coding: euc-kr -*-\nx = '喜怒哀樂'\n",
    ],
)
def test_a_charset_that_a_text_declares_is_tried_first(text: str) -> None:
    corpus = Corpus.load(text.encode("euc_kr"))
    assert text_of(corpus) == text
    assert corpus["recoded_as"] == {"bytes": "cp949"}


@pytest.mark.parametrize("name", ["utf-8", "no-such-charset", "idna", "unicode_escape", "base64", "utf-7"])
def test_a_charset_that_is_wrong_or_none_is_passed_over(name: str) -> None:
    text = f'<meta charset="{name}">\n' + TEXTS["ko"]
    assert text_of(Corpus.load(text.encode("cp949"))) == text


def test_latin_1_means_windows_1252_as_browsers_hold_it() -> None:
    text = '<meta charset="iso-8859-1">“quoted” – é\n'
    assert text_of(Corpus.load(text.encode("cp1252"))) == text


# --- UTF-16 without a mark


@pytest.mark.parametrize("language", ["ko", "ja", "en", "ru"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_read(language: str, encoding: str) -> None:
    text = TEXTS[language] * 3000 + "😀 \n"
    corpus = Corpus.load(text.encode(encoding))
    assert text_of(corpus) == text
    assert set(corpus["recoded_as"].values()) == {encoding}


# --- what is no text


def noise(size: int, allowed: range = range(1, 256)) -> bytes:
    return bytes(random.Random(size).choices(allowed, k=size))


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + b"abc",
        b"\xff\xd8\xff\xe1" + b"abc",
        b"\x7fELF\x02\x01\x01" + b"abc",
        b"%PDF-1.4\nall of it ASCII\n",
        b"\xca\xfe\xba\xbe\x41\x41",
        noise(40),
        noise(400),
        noise(100_000),
        b"text for a while\n" * 30_000 + b"\0",
        struct.pack("<500I", *range(500)),
        struct.pack("<500H", *(number * 7 % 3000 for number in range(500))),
        struct.pack("<400d", *(number / 7 for number in range(400))),
        "text in UTF-32\n".encode("utf-32-le"),
        codecs.BOM_UTF16_LE + b"odd",
        bytes(4000),
    ],
)
def test_binary_data_is_no_text(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ConfigError, match=r"x is binary, not text"):
        Corpus.load(tmp_path / "x")
    assert list((default_home().path / "tmp").iterdir()) == []


def test_control_characters_that_texts_have_are_kept() -> None:
    for text in ("\x1b[1mbold\x1b[0m\n", "a\x0cpage\n", "man\x08n\n", "end\x1a\n" + "x" * 300):
        assert text_of(Corpus.load(text.encode())) == text
        assert text_of(Corpus.load((text + TEXTS["ko"] * 3).encode("cp949"))) == text + TEXTS["ko"] * 3
