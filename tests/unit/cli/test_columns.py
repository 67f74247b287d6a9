"""Widths on a terminal."""

from rlm_agent.cli.columns import columns, cut, padded, table


def test_wide_characters_take_two_columns() -> None:
    assert [columns(text) for text in ("abc", "한글", "e\u0301", "😀", "")] == [3, 4, 1, 2, 0]
    assert padded("한", 4) == "한  "
    assert padded("long", 2) == "long"


def test_what_is_cut_fits() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    for most in range(1, 9):
        short = cut("가나다라마", most)
        assert columns(short) <= most
        assert short.endswith("…")
    assert cut("가나다라마", 10) == "가나다라마"


def test_columns_of_a_table_stand_below_each_other() -> None:
    lines = table([("이름", "b", "last   "), ("c" * 50, "", "한")])
    assert lines == ["이름" + " " * 36 + "  b  last", "c" * 39 + "…" + "     한"]
    assert table([]) == []
