"""Keys are functions of content alone, and differ wherever what was asked differs."""

from rlm_agent import keys


def test_equal_content_gives_equal_keys_whatever_the_order() -> None:
    assert keys.digest({"a": 1, "b": [2, "가"]}) == keys.digest({"b": [2, "가"], "a": 1})
    assert keys.call_key("cell", {"a": 1, "b": 2}, 0, "") == keys.call_key("cell", {"b": 2, "a": 1}, 0, "")


def test_whatever_makes_a_step_another_step_changes_its_key() -> None:
    base = keys.root_key("lineage", 3, 0, [], "")
    others = [
        keys.root_key("other", 3, 0, [], ""),
        keys.root_key("lineage", 4, 0, [], ""),
        keys.root_key("lineage", 3, 1, [], ""),
        keys.root_key("lineage", 3, 0, [7], ""),
        keys.root_key("lineage", 3, 0, [], "salt"),
        keys.call_key("lineage", {}, 0, ""),
        keys.notes_key("lineage", 3, "run"),
        keys.check_key("lineage"),
    ]
    assert len({base, *others}) == len(others) + 1


def test_identical_calls_are_told_apart_by_their_count() -> None:
    assert keys.call_key("cell", {"prompt": "x"}, 0, "") != keys.call_key("cell", {"prompt": "x"}, 1, "")


def test_a_lineage_names_its_parent_reply_and_block() -> None:
    made = {keys.lineage(p, r, b) for p in ("a", "b") for r in ("x", "y") for b in (0, 1)}
    assert len(made) == 8


def test_lone_surrogates_and_odd_values_have_digests() -> None:
    assert keys.digest("\ud800") != keys.digest("\ud801")
    assert keys.digest({"x": {1, 2}}) == keys.digest({"x": {1, 2}})


def test_a_question_is_its_content_and_its_context() -> None:
    assert keys.question_digest("q", "c") != keys.question_digest("q", "d")
    assert keys.question_digest([{"type": "text", "text": "q"}], "") != keys.question_digest("q", "")


def test_a_seed_fits_63_bits() -> None:
    assert 0 <= keys.seed("run") < 2**63
    assert keys.seed("run") != keys.seed("other")


def test_a_cells_seed_and_clock_are_its_own() -> None:
    seeds = {keys.cell_seed(cell, salt) for cell in "ab" for salt in ("", "s")}
    clocks = {keys.clock_key(cell, stretch, salt) for cell in "ab" for stretch in (0, 1) for salt in ("", "s")}
    assert (len(seeds), len(clocks), len(seeds | clocks)) == (4, 8, 12)
