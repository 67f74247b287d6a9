"""What a cell prints is kept in order and in bounds."""

from rlm_agent.repl.output import Sink, shorten


def written(keep: int, *pieces: str) -> str:
    sink = Sink(keep)
    for piece in pieces:
        sink.write(piece.encode())
    return sink.take()


def test_short_output_is_whole() -> None:
    assert written(10, "한", "글", "") == "한글"
    assert written(4, "abcd", "efgh") == "abcdefgh"


def test_long_output_keeps_both_ends_and_counts_the_rest() -> None:
    assert written(3, *"abcdefghij") == "abc\n[... 4 bytes of output left out ...]\nhij"
    assert written(3, "abcdefghij") == "abc\n[... 4 bytes of output left out ...]\nhij"
    assert written(3, "ab", "cdefg", "hij", "k") == "abc\n[... 5 bytes of output left out ...]\nijk"


def test_a_character_that_is_cut_leaves_no_rubbish() -> None:
    text = written(4, "가나다라마")
    assert text == "가\n[... 7 bytes of output left out ...]\n마"


def test_taking_empties() -> None:
    sink = Sink(3)
    sink.write(b"abcdefgh")
    sink.take()
    sink.write(b"x")
    assert sink.take() == "x"


def test_shorten_cuts_in_the_middle() -> None:
    assert shorten("abcd", 2) == "abcd"
    assert shorten("abcdefg", 2) == "ab\n[... 3 characters left out ...]\nfg"
