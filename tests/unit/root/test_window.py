"""The bounds of the root's prompt, and how it grows."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_agent.errors import ConfigError
from rlm_agent.root.window import Role, WindowTurn, build_messages, cut_middle, estimate_tokens, fold_line

Messages = list[tuple[Role, str]]
Pairs = tuple[tuple[str, str], ...]
SYSTEM = "You are the root. " * 100
FOLDED = "Earlier turns, a line each"


def turn(number: int, chars: int = 500, text: str = "out", false_starts: Pairs = ()) -> WindowTurn:
    filler = (f"{text} {number} " * chars)[: chars // 2]
    line = fold_line(number, f"x = step({number})", filler, None)
    return WindowTurn(number, f"reply {number}\n{filler}", filler, line, false_starts)


def total(messages: Messages) -> int:
    return sum(estimate_tokens(text) for _, text in messages)


def flat(messages: Messages) -> str:
    return "".join(f"<{role}>{text}" for role, text in messages)


def assert_well_formed(messages: Messages, window: int) -> None:
    roles = [role for role, _ in messages]
    assert roles == ["system", "human", *(["ai", "human"] * ((len(roles) - 2) // 2))]
    assert all(text.strip() for _, text in messages)
    assert total(messages) <= window


def test_tokens_are_estimated_high_for_korean() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("a" * 35) == 10
    assert estimate_tokens("한국어") == 3
    assert estimate_tokens("한국어" + "a" * 7) == 5
    assert estimate_tokens("\ud800") == 1


def test_cut_middle_keeps_both_ends_and_tells_what_is_missing() -> None:
    text = "가" * 60 + "나" * 60
    shown = cut_middle(text, 100, 'history[-1]["output"]')
    assert shown.startswith("가" * 50 + "\n[... 20 characters left out; the whole is in history[-1][")
    assert shown.endswith("...]\n" + "나" * 50)
    assert len(shown) - 100 < 90
    assert cut_middle(text, 120, "x") == text
    assert cut_middle(text, 1, "x").startswith("가\n[... 119 ")


def test_a_folded_turn_tells_what_was_done_and_what_came_of_it() -> None:
    code = "# look\nimport re\nfrom a import b\n\nhits = find('x')\nprint(hits)"
    assert fold_line(3, code, "\n 12 hits\nmore", None) == "3. hits = find('x') -> 12 hits"
    error = 'Traceback (most recent call last):\n  File "<cell>"\nNameError: no x\n'
    assert fold_line(4, "import re", "printed", error) == "4. import re -> failed: NameError: no x"
    assert fold_line(5, "", "", None) == "5. (no code) -> (no output)"
    assert len(fold_line(123456, "x" * 999, "y" * 999, "z" * 999)) <= 160


def test_the_first_request_is_system_and_task() -> None:
    assert build_messages(SYSTEM, "무엇?", [], 8000) == [("system", SYSTEM), ("human", "무엇?")]


def test_turns_false_starts_pending_and_notes_stand_in_order() -> None:
    turns = [WindowTurn(1, "r1", "s1", "1. x"), WindowTurn(2, "r2", "", "2. y", false_starts=(("", "remind"),))]
    messages = build_messages("sys", "task", turns, 8000, pending=[("p", "again")], notes=["n1", "n2"])
    assert messages == [
        ("system", "sys"),
        ("human", "task"),
        *[
            ("ai", "r1"),
            ("human", "s1"),
            ("ai", "(no text)"),
            ("human", "remind"),
            ("ai", "r2"),
            ("human", "(no text)"),
        ],
        *[("ai", "p"), ("human", "again\n\nn1\n\nn2")],
    ]
    assert build_messages("sys", "", [], 8000, notes=["n"])[1] == ("human", "(no text)\n\nn")


def test_a_pending_reply_becomes_a_false_start_without_a_changed_byte() -> None:
    before = build_messages("sys", "task", [turn(1)], 8000, pending=[("no code", "remind")])
    after = build_messages("sys", "task", [turn(1), turn(2, false_starts=(("no code", "remind"),))], 8000)
    assert flat(after).startswith(flat(before))


def test_a_long_task_is_cut_to_a_quarter_and_says_where_it_is() -> None:
    (_, system), (_, task) = build_messages(SYSTEM, "긴 과제 " * 20_000, [], 8000)
    assert system == SYSTEM
    assert "the variable `task`" in task
    assert 1500 < estimate_tokens(task) <= 2000


def test_two_thousand_turns_stay_within_the_window_and_extend_one_another() -> None:
    turns = [turn(n, 5000) for n in range(1, 2001)]
    before, extended, prompts = "", 0, 0
    for n in [*range(1, 120), *range(1900, 2001)]:
        messages = build_messages(SYSTEM, "task", turns[:n], 32_000)
        assert_well_formed(messages, 32_000)
        assert messages[-1] == ("human", turns[n - 1].shown)
        prompts += 1
        extended += flat(messages).startswith(before)
        before = flat(messages)
    assert extended / prompts >= 0.8
    assert "turns 1-" in messages[1][1]


def test_a_long_run_is_cheap_to_show() -> None:
    turns = [turn(n, 5000, "출력") for n in range(1, 2001)]
    start = time.perf_counter()
    build_messages(SYSTEM, "task", turns, 32_000)
    assert time.perf_counter() - start < 1


def test_folding_frees_half_of_the_window() -> None:
    for n in range(1, 60):
        turns = [turn(k, 2000) for k in range(1, n + 1)]
        messages = build_messages("sys", "task", turns, 8000)
        if FOLDED in messages[1][1]:
            break
    assert total(build_messages("sys", "task", turns[:-1], 8000)) > 7000
    assert 2500 < total(messages) <= 4000
    folded = n - (len(messages) - 2) // 2
    assert [line for line in messages[1][1].split("\n") if "step(" in line] == [t.line for t in turns[:folded]]


def test_lines_that_are_too_many_become_a_range() -> None:
    turns = [turn(n, 400) for n in range(5, 700)]
    messages = build_messages("sys", "task", turns, 4000)
    section = messages[1][1].split("\n")
    number = int(section[4].split(".")[0])
    assert section[3] == f"turns 5-{number - 1}: see history[4:{number - 1}]"
    assert estimate_tokens(messages[1][1]) < 1200


def test_the_newest_turn_is_whole_and_cut_only_when_too_large_alone() -> None:
    old = [turn(n) for n in range(1, 5)]
    large = WindowTurn(5, "r" * 5000, "s" * 4000, "5. x")
    messages = build_messages("sys", "task", [*old, large], 4000)
    assert [text for _, text in messages[-2:]] == ["r" * 5000, "s" * 4000]
    larger = WindowTurn(5, "reply", "s" * 40_000, "5. x", false_starts=(("f" * 9000, "remind"),))
    messages = build_messages("sys", "task", [*old, larger], 4000, pending=[("p", "r")], notes=["read me"])
    assert_well_formed(messages, 4000)
    assert [text for _, text in messages if text != messages[3][1]][2:] == ["reply", "p", "r\n\nread me"]
    assert 'the whole is in history[4]["output"]' in messages[3][1]
    assert total(messages) > 3900


def test_too_small_a_window_is_refused_with_the_number_that_works() -> None:
    with pytest.raises(ConfigError, match=r"give at least (\d+)") as refused:
        build_messages("x" * 7000, "task", [], 2000)
    least = int(str(refused.value).split("at least ")[1].split(",")[0])
    assert build_messages("x" * 7000, "task", [], least)


@pytest.mark.parametrize("n", [1, 3, 40])
def test_a_large_system_prompt_leaves_room_for_all_parts(n: int) -> None:
    turns = [turn(k, 3000, "출력") for k in range(1, n + 1)]
    messages = build_messages("x" * 7000, "task " * 5000, turns, 2700, pending=[("p" * 3000, "again")], notes=["note"])
    assert_well_formed(messages, 2700)
    assert "the variable `task`" in messages[1][1]
    assert f'the whole is in history[{n - 1}]["output"]' in flat(messages)
    assert messages[-1][1] == "again\n\nnote"


TEXTS = st.builds(lambda unit, n: unit * n, st.sampled_from(["", "a", "가", "line\n", " ", "😀"]), st.integers(0, 4000))


@settings(max_examples=60, deadline=None)
@given(
    task=TEXTS,
    parts=st.lists(st.tuples(TEXTS, TEXTS, st.lists(st.tuples(TEXTS, TEXTS), max_size=2)), max_size=12),
    pending=st.lists(st.tuples(TEXTS, TEXTS), max_size=4),
    notes=st.lists(TEXTS, max_size=4),
    window=st.integers(900, 6000),
)
def test_whatever_is_shown_stays_within_the_window(
    task: str,
    parts: list[tuple[str, str, list[tuple[str, str]]]],
    pending: list[tuple[str, str]],
    notes: list[str],
    window: int,
) -> None:
    turns = [WindowTurn(n, r, s, fold_line(n, r, s, None), tuple(f)) for n, (r, s, f) in enumerate(parts, 1)]
    assert_well_formed(build_messages("system", task, turns, window, pending, notes), window)
