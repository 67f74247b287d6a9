"""What a lookup question asks for, and how well a line answers it.

Read twice: the offline root sends this file to the REPL ahead of its program, the offline sub-agent imports it. So it
is plain Python with nothing of ours in it.
"""

import re
from typing import TypedDict

__all__ = ["Lookup", "best_lines", "definition_rank", "has_name", "line_score", "read_question", "read_task"]


class Lookup(TypedDict):
    """One thing to find: `names` as they are written, else `words` in any case; `kind` is "class", "function" or ""."""

    question: str
    kind: str
    names: list[str]
    words: list[str]


_STOP_WORDS = """
a an and any are as at be been by can code contain contains could declare declared declares define defined defines
definition defining did do does each every exactly file files find following for from give given has have how i
implement implemented implements in input inside into is it its line lines list locate look me mention mentioned
mentions module modules my name named of on one only or out part path please quote quoted say says search show source
tell text that the their them there these this those to up use used uses want was we were what when where which who
whole whose will with within would you your call called class classes function functions method methods def variable
constant routine exception symbol type get answer answers context corpus document documents package library
어느 어디 무엇 어떤 누구 언제 있는 있나요 있습니까 정의 정의된 정의한 정의하는 정의합니까 정의하나요 모듈 파일
클래스 함수 메서드 찾아 찾아라 찾아줘 다음 에서 인가요 입니까 무엇인가요 무엇입니까 어디에
"""
STOP = frozenset(_STOP_WORDS.split())
# After "class" or "function" nearly every other word may be a name: `find`, `call` and `search` are.
_GRAMMAR_WORDS = """
a an and are as at be by called can defined definition definitions do does for from has have in is it its name named of
on or that the this to was what where which who whose with
"""
GRAMMAR = frozenset(_GRAMMAR_WORDS.split())
NOT_LOOKUP = re.compile(
    r"\b(?:how (?:many|much|often|long|do|does|can|should)|why|summari[sz]e|summary|compare|explain|describe|count"
    r"|translate|average|sum up|write|refactor|improve|total number|list (?:all|every)|what is the difference)\b"
    r"|몇 |왜 |요약|설명해|비교|번역|평균",
    re.I,
)
QUOTED = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|(?<!\w)'([^'\n]+)'(?!\w)")
TOKEN = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
NAMED = re.compile(
    r"(?:(?<!which )(?<!what )\b(?:class|function|method|def|named|called)|클래스|함수|메서드)\s+"
    r"(?:named\s+|called\s+)?([a-z_]\w*)",
    re.A | re.I,
)
NAMED_BEFORE = re.compile(r"([a-z_]\w*)(?:\s+(?:class|function|method)\b|\s*(?:클래스|함수|메서드))", re.A | re.I)
CLASS = re.compile(r"\bclass\b|클래스", re.I)
FUNCTION = re.compile(r"\b(?:function|method|def)\b|함수|메서드", re.I)
WORD = re.compile(r"[A-Za-z0-9_]+|[^\W\d_A-Za-z]+")
PARTICLE = re.compile(r"(?<=..)(?:에서|으로|부터|까지|은|는|이|가|을|를|의|에|로|와|과|도|만)$")
BOUNDED = r"(?<![A-Za-z0-9_]){}(?![A-Za-z0-9_])"
DEFINITION = (
    r"^(\s*)(?:(?:export|public|private|protected|static|async|pub|abstract|final|default)\s+)*"
    r"(class|struct|interface|enum|trait|protocol|type|def|function|func|fn|sub|#define|const|let|var|module)\s+{}(?![A-Za-z0-9_])"
)
CLASSES = ("class", "struct", "interface", "enum", "trait", "protocol", "type")
FUNCTIONS = ("def", "function", "func", "fn", "sub")


def read_task(task: str) -> tuple[list[Lookup], list[str]]:
    """The lookups of a task, one a line, and the questions in it that are no lookup."""
    lines = [re.sub(r"^\s*(?:\d+[.)]|[-*•])\s+", "", line).strip() for line in task.splitlines()]
    lines = [line for line in lines if line]
    lookups, others = [], []
    for line in lines:
        lookup = read_question(line)
        if lookup is None:
            others += [line] if line.endswith("?") or len(lines) == 1 else []
        elif lookup["names"] or line.endswith("?") or len(lines) == 1:
            lookups.append(lookup)
    return lookups, others


def read_question(line: str) -> Lookup | None:
    """What one question looks for; None when it is no lookup."""
    names = [next(filter(None, groups)) for groups in QUOTED.findall(line)]
    rest = QUOTED.sub(" ", line)
    tokens = TOKEN.findall(rest)
    names += [name for name in NAMED.findall(rest) + NAMED_BEFORE.findall(rest) if name.lower() not in GRAMMAR]
    names += [part for token in tokens if _is_identifier(token) for part in _with_last_part(token)]
    for name in names:
        rest = re.sub(BOUNDED.format(re.escape(name)), " ", rest)
    if NOT_LOOKUP.search(rest):
        return None
    capitals = [token for token in tokens[1:] if token[0].isupper() and token.lower() not in STOP]
    words = [PARTICLE.sub("", word).lower() for word in WORD.findall(rest)]
    words = [word for word in words if len(word) > 1 and word not in STOP and not word.isdigit()]
    if not names and not words:
        return None
    return {"question": line, "kind": _kind(line), "names": _once(names or capitals), "words": _once(words)}


def _kind(line: str) -> str:
    kinds = [kind for kind, sign in (("class", CLASS), ("function", FUNCTION)) if sign.search(line)]
    return kinds[0] if len(kinds) == 1 else ""


def _is_identifier(token: str) -> bool:
    if "." in token and max(map(len, token.split("."))) > 1:
        return True
    mixed = any(c.isdigit() for c in token) and len(token) > 2
    camel = re.search(r"[a-z][A-Z]|[A-Z]{2}", token) is not None
    return "_" in token or mixed or camel


def _with_last_part(token: str) -> list[str]:
    last = token.rpartition(".")[2]
    return [token, last] if "." in token and len(last) > 3 else [token]


def _once(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


def has_name(line: str, name: str) -> bool:
    """Whether the line holds the name as a whole identifier."""
    return re.search(BOUNDED.format(re.escape(name)), line) is not None


def definition_rank(line: str, name: str, kind: str = "") -> int:
    """4 for a definition of the wanted kind at the left margin, 3 indented, 2 another kind, 1 an assignment, else 0."""
    if name not in line:
        return 0
    found = re.match(DEFINITION.format(re.escape(name)), line)
    if found is None:
        return int(re.match(rf"{re.escape(name)}\s*(?::[^=]+)?=(?!=)", line) is not None)
    wanted = {"class": CLASSES, "function": FUNCTIONS}.get(kind)
    if wanted is not None and found.group(2) not in wanted:
        return 2
    return 3 if found.group(1) else 4


def line_score(line: str, lookup: Lookup) -> float:
    """How well a line answers; 0 when it has nothing of what is looked for. Definitions stand above mentions."""
    names = [name for name in lookup["names"] if has_name(line, name)]
    if lookup["names"] and not names:
        return 0.0
    lowered = line.lower()
    words = sum(word in lowered for word in lookup["words"])
    return (
        10.0 * max((definition_rank(line, name, lookup["kind"]) for name in names), default=0)
        + 3.0 * len(names)
        + words
    )


def best_lines(text: str, first_line: int, lookup: Lookup, most: int = 3) -> list[tuple[int, str]]:
    """The best-matching lines of a part, best first, as (line number, line with its indentation)."""
    lines = text.split("\n")
    scored = [(line_score(line, lookup), -i) for i, line in enumerate(lines)]
    best = sorted((row for row in scored if row[0] > 0), reverse=True)[:most]
    return [(first_line - minus, lines[-minus].rstrip()[:300]) for _, minus in best]
