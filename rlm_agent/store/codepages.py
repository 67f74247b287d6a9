"""Which old encoding a text is likeliest in, told by the characters that it would have.

East Asian encodings are known by the share of everyday characters, those for Latin letters by alphabets; between those
of one byte for other scripts charset-normalizer decides. It is not asked about all of them at once, because it rates
French as Polish and Hebrew as Japanese too often. Invariant: the answer is always the name of a Python codec.
"""

import codecs
import re
from collections import Counter
from collections.abc import Callable
from functools import cache

__all__ = ["LATIN", "east_asian", "known", "likeliest"]

LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1254")
_NARROW = ("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874")
_LENIENT = 0.5  # for a text that no other encoding suits
_CERTAIN = 0.8  # share of letters that belong to one language
_DAMAGED = 5  # one line in so many may be unreadable in the right encoding

_WESTERN = (  # French, German, Spanish, Portuguese, Italian, Scandinavian and Finnish, Icelandic, Dutch
    "àâæçéèêëîïôœùûü",
    "äöüß",
    "áéíñóúüªº¿¡",
    "àáâãçéêíóôõúüªº",
    "àèéìíîòóùú",
    "åäæéöøü",
    "áæéíðóöþúý",
    "áäèéëêïíóöûü",
)
_CENTRAL = ("ąćęłńóśźż", "áäčďéěíĺľňóôŕřšťúůýž", "áéíóöőúüű", "čćđšž", "ăâîşţ")  # Polish, Czech and Slovak, ...
_TURKISH = ("çğıöşüâîû",)
_MARKS = frozenset("’‘“”„–—…•·«»‹›°©®™€£§²³µ×½\xa0")
_ALL_WESTERN = 0.97
"""A mixture of western languages counts less than one alone, as it covers parts of other languages, too."""


def _leads(codec: str, low: int, high: int) -> Callable[[str], bool]:
    """Characters whose first byte is in a range, and whose second is above ASCII or free."""
    second = 0x40 if codec == "big5" else 0xA1

    def test(character: str) -> bool:
        code = character.encode(codec)
        return len(code) == 2 and low <= code[0] <= high and code[1] >= second

    return test


def _is_kana(character: str) -> bool:
    return "\u3041" <= character <= "\u30fe"


_EVERYDAY: dict[str, tuple[Callable[[str], bool], float]] = {  # and the share of them below which it is another one
    "cp932": (_is_kana, 0.15),
    "euc_jp": (_is_kana, 0.15),
    "cp949": (_leads("cp949", 0xB0, 0xC8), 0.8),  # the 2350 syllables of KS X 1001
    "gb18030": (_leads("gb18030", 0xB0, 0xD7), 0.88),  # level 1 of GB 2312
    "big5": (_leads("big5", 0xA4, 0xC6), 0.8),  # level 1 of Big5
}
_WORD = re.compile(rb"[A-Za-z]*[\x80-\xff][A-Za-z\x80-\xff]*")
_LETTER = re.compile(rb"[A-Za-z]")
_ABOVE = re.compile(r"[^\x00-\x7f]")
_LEGACY = re.compile(r"cp\d|iso8859|koi8|euc_|gb|big5|shift_jis|johab|tis-620|mac-")
_MEANT = {  # what software that declares the name means by it (WHATWG Encoding Standard, section 4.2)
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "tis-620": "cp874",
}


def known(name: str) -> str:
    """The codec of an old encoding's name; empty for all others, UTF-8 among them."""
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""
    return _MEANT.get(codec) or (codec if _LEGACY.match(codec) else "")


def likeliest(lines: list[bytes]) -> str:
    """The likeliest encoding of lines, each of which may be cut at its end; some may be damaged."""
    text = b"\n".join(lines)
    latin, share = _latin(lines) if _is_latin(text) else ("", 0.0)
    if share >= _CERTAIN:
        return latin
    return east_asian(lines) or ("" if latin else _narrow(text)) or east_asian(lines, _LENIENT) or latin or LATIN[0]


def east_asian(lines: list[bytes], factor: float = 1.0) -> str:
    """The Korean, Japanese or Chinese encoding whose everyday characters these are; empty where they are none's.

    Args:
        lines: of the text.
        factor: how much of the usual share of them is enough.
    """
    for codec, (everyday, least) in _EVERYDAY.items():
        found = _characters(lines, codec)
        letters = Counter({character: count for character, count in found.items() if character.isalpha()})
        if letters and _share(letters, everyday) >= factor * least:
            return codec
    return ""


def _latin(lines: list[bytes]) -> tuple[str, float]:
    """The encoding in which the text is nearest to one language, and how near."""
    best, nearest = LATIN[0], 0.0
    for codec, alphabets in _alphabets():
        characters = _characters(lines, codec)
        if characters and (share := max(_share(characters, a.__contains__) for a in alphabets)) > nearest:
            best, nearest = codec, share
        if codec == LATIN[0] and characters:
            nearest = max(nearest, _ALL_WESTERN * _share(characters, frozenset().union(*alphabets).__contains__))
    return best, nearest


@cache
def _alphabets() -> tuple[tuple[str, tuple[frozenset[str], ...]], ...]:
    """The characters above ASCII of the languages that each encoding serves."""
    served = {"cp1252": _WESTERN, "cp1254": _TURKISH, "cp1250": _CENTRAL, "iso8859_2": _CENTRAL}
    return tuple(
        (codec, tuple(_MARKS.union(letters, letters.upper()) for letters in languages))
        for codec, languages in served.items()
    )


def _is_latin(text: bytes) -> bool:
    """Whether most words with letters above ASCII hold letters of ASCII, too, or are one letter alone."""
    words = _WORD.findall(text)
    return 2 * sum(len(word) == 1 or bool(_LETTER.search(word)) for word in words) > len(words)


def _narrow(text: bytes) -> str:
    from charset_normalizer import from_bytes

    matches = from_bytes(text, cp_isolation=list(_NARROW), enable_fallback=False, preemptive_behaviour=False)
    return best.encoding if (best := matches.best()) else ""


def _characters(lines: list[bytes], codec: str) -> Counter[str]:
    """How often each character above ASCII is there; none where too many lines cannot be read."""
    found: Counter[str] = Counter()
    damaged = 0
    for line in lines:
        try:
            found.update(_ABOVE.findall(codecs.getincrementaldecoder(codec)().decode(line)))
        except UnicodeDecodeError:
            damaged += 1
    return found if _DAMAGED * damaged <= len(lines) else Counter()


def _share(characters: Counter[str], wanted: Callable[[str], bool]) -> float:
    return sum(count for character, count in characters.items() if wanted(character)) / characters.total()
