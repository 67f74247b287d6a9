"""Addresses in texts, their one spelling, and what gives leave to open them."""

import pytest

from rlm_agent.web_addresses import WebAddresses, named_in, normal, user_texts


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("HTTP://Example.COM:80/a#part", "http://example.com/a"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com:8443/x?q=1", "https://example.com:8443/x?q=1"),
        ("https://bücher.de/ü?q=한글", "https://xn--bcher-kva.de/%C3%BC?q=%ED%95%9C%EA%B8%80"),
        ("https://[::1]:443/", "https://[::1]/"),
        ("https://example.com/a/../b", "https://example.com/b"),
        ("ftp://example.com/", None),
        ("http://[bad", None),
        ("http://example.com:99999/", None),
        ("http:///nowhere", None),
        ("not an address", None),
        ("http://example.com/" + "a" * 5000, None),
    ],
)
def test_one_spelling(written: str, spelled: str | None) -> None:
    assert normal(written) == spelled


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("See https://example.com/a.", "https://example.com/a"),
        ("(https://example.com/Foo_(bar))", "https://example.com/Foo_(bar)"),
        ("[x](https://example.com/c), and", "https://example.com/c"),
        ("https://example.com/a에서 찾아라", "https://example.com/a"),
        ("https://example.com/문서 를 읽어라", "https://example.com/문서"),
        ("<https://example.com/d>", "https://example.com/d"),
    ],
)
def test_addresses_in_prose_are_read_as_a_reader_does(text: str, meant: str) -> None:
    assert meant in list(named_in(text))


def test_what_gives_leave() -> None:
    addresses = WebAddresses()
    addresses.add_texts(user_texts("read https://a.example/x", [{"role": "user", "content": "and http://b.example"}]))
    addresses.add_artifact({"links": ["https://c.example/#top", 7, None], "sources": "nonsense"})
    addresses.add_artifact({"sources": [{"url": "https://c.example/", "fetched": "2026-11-25T10:00:00Z"}, "x"]})
    addresses.add_artifact("no artifact of ours")
    for allowed in ("https://a.example/x", "HTTPS://A.example/x#y", "http://b.example/", "https://c.example"):
        assert allowed in addresses
    for refused in (
        "https://a.example/",
        "https://a.example/x?leak=1",
        "http://a.example/x",
        "https://d.example/",
        "x",
    ):
        assert refused not in addresses
    assert addresses.read_at("https://c.example") == "2026-11-25T10:00:00Z"
    assert addresses.read_at("https://a.example/x") is None


def test_what_the_assistant_said_gives_no_leave() -> None:
    said = [
        {"role": "assistant", "content": "http://evil.example/"},
        {"role": "system", "content": "http://ok.example/"},
    ]
    blocks = [{"type": "text", "text": "http://block.example/"}, {"type": "image", "url": "http://image.example/"}]
    assert list(user_texts(blocks, said)) == ["http://block.example/", "http://ok.example/"]
