"""Whether a page holds a quote: what a copy may change, and what it may not."""

import pytest

from rlm_agent_graphs.quotes import fault

PAGE = """The  bridge was opened in 1807, after nine years of
build\u00ading. “It’s a wonder — truly,” wrote the mayor; the con-
tractor was paid 3 000 crowns.
다리는 1807년에 개통되었다. 아홉 해가 걸렸다.
ﬁnally the toll was lifted."""


@pytest.mark.parametrize(
    "quote",
    [
        "The bridge was opened in 1807",
        "the  bridge\nwas opened in 1807"[4:],
        '"The bridge was opened in 1807"',
        "after nine years of building",
        "It's a wonder - truly",
        "the contractor was paid 3 000 crowns",
        "다리는 1807년에\n개통되었다.",
        "finally the toll was lifted",
        "The bridge was opened in 1807 ... the contractor was paid",
        "The bridge was opened […] finally the toll was lifted",
    ],
)
def test_a_true_quote(quote: str) -> None:
    assert fault(quote, PAGE) == ""


@pytest.mark.parametrize(
    ("quote", "why"),
    [
        ("The bridge was opened in 1870", "not on the page"),
        ("The bridge was never opened in 1807", "not on the page"),
        ("다리는 1870년에 개통되었다", "not on the page"),
        ("the contractor was paid ... The bridge was opened", "in this order"),
        ("1807", "12 characters"),
        ("The ... bridge", "12 characters"),
        ("", "12 characters"),
        ("... … [...]", "12 characters"),
    ],
)
def test_what_is_none(quote: str, why: str) -> None:
    assert why in fault(quote, PAGE)
