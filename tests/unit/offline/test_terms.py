"""What a question asks for, and which line answers it."""

import pytest

from rlm_agent.offline.terms import best_lines, definition_rank, has_name, line_score, read_question, read_task


@pytest.mark.parametrize(
    ("question", "kind", "names"),
    [
        ("Which module defines the class ThreadPoolExecutor?", "class", ["ThreadPoolExecutor"]),
        ("Which module defines the function dumps?", "function", ["dumps"]),
        ("Where is the dumps function?", "function", ["dumps"]),
        ("Which module defines the function search?", "function", ["search"]),
        ("Where is `get` defined?", "", ["get"]),
        ('Which file says "not a chance"?', "", ["not a chance"]),
        ("Where is the method called count?", "function", ["count"]),
        ("Which module defines the function explain?", "function", ["explain"]),
        ("Where is os.path.join implemented?", "", ["os.path.join", "join"]),
        ("Who closed CVE-2024-1234?", "", ["CVE-2024-1234"]),
        ("ThreadPoolExecutor 클래스는 어느 모듈에 정의되어 있습니까?", "class", ["ThreadPoolExecutor"]),
        ("함수 read_task는 어디에 있나요?", "function", ["read_task"]),
        ("What is the population of Ulsan?", "", ["Ulsan"]),
    ],
)
def test_names_and_kind(question: str, kind: str, names: list[str]) -> None:
    lookup = read_question(question)
    assert lookup is not None
    assert (lookup["kind"], lookup["names"]) == (kind, names)


def test_words_where_there_is_no_name() -> None:
    lookup = read_question("Which function parses the magic number?")
    assert lookup is not None
    assert (lookup["names"], lookup["words"]) == ([], ["parses", "magic", "number"])
    korean = read_question("울산의 마법 숫자는 무엇입니까?")
    assert korean is not None
    assert korean["words"] == ["울산", "마법", "숫자"]


@pytest.mark.parametrize(
    "question",
    [
        "How many classes define close?",
        "Why is the sky blue?",
        "Summarise the module json.",
        "이 글을 요약해",
        "Where is it?",
        "",
    ],
)
def test_what_is_no_lookup(question: str) -> None:
    assert read_question(question) is None


def test_a_task_of_several_lines() -> None:
    task = "Locate these definitions:\n1. the class Alpha\n\n- Which module defines beta_one?\nHow many are there?\n"
    lookups, others = read_task(task)
    assert [lookup["names"] for lookup in lookups] == [["Alpha"], ["beta_one"]]
    assert others == ["How many are there?"]


@pytest.mark.parametrize(
    ("line", "kind", "rank"),
    [
        ("class Pool(Base):", "class", 4),
        ("class Pool(Base):", "", 4),
        ("    class Pool:", "class", 3),
        ("def Pool():", "class", 2),
        ("async def Pool():", "function", 4),
        ("export default function Pool() {", "function", 4),
        ("Pool = make()", "class", 1),
        ("Pool: type = make()", "class", 1),
        ("Pool == x", "class", 0),
        ("class PoolParty:", "class", 0),
        ("see class Pool", "class", 0),
    ],
)
def test_definitions_rank_above_mentions(line: str, kind: str, rank: int) -> None:
    assert definition_rank(line, "Pool", kind) == rank


def test_names_are_whole_identifiers_even_before_hangul() -> None:
    assert has_name("Pool을 연다", "Pool")
    assert not has_name("ThreadPool", "Pool")
    assert not has_name("Pool_2", "Pool")


def test_best_lines_carry_their_numbers_and_indentation() -> None:
    lookup = read_question("Which module defines the class Pool?")
    assert lookup is not None
    text = "# uses Pool\nx = 1\n    class Pool:\nclass Pool:\n"
    assert best_lines(text, 10, lookup) == [(13, "class Pool:"), (12, "    class Pool:"), (10, "# uses Pool")]
    assert line_score("nothing here", lookup) == 0
