"""fetch_page against a local web of more than 200 pages: what it gives, what it refuses, what it keeps."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from local_web import LocalWeb, fixed_pages, local_web

from rlm_agent import Home
from rlm_agent.errors import ConfigError
from rlm_agent.store.pages import StoredPage, StoredPages
from rlm_agent.tool_scope import ToolScope, in_scope
from rlm_agent_tools.web import WebOptions
from rlm_agent_tools.web.fetch_page import fetch_page_tool


@pytest.fixture(scope="module")
def web() -> Iterator[LocalWeb]:
    with local_web() as web:
        yield web


async def here(host: str, port: int) -> list[str]:
    """Every name leads to loopback."""
    return ["127.0.0.1"]


def options(web: LocalWeb, **changes: Any) -> WebOptions:
    given: dict[str, Any] = {"egress": "any", "reach": frozenset({("127.0.0.1", web.port)}), "resolve": here}
    return WebOptions(**{**given, **changes})


def fetch(web: LocalWeb, path: str, page: int = 1, **changes: Any) -> Any:
    tool = fetch_page_tool(options(web, **changes))
    url = path if "://" in path else web.url(path)
    return tool.invoke({"name": tool.name, "args": {"url": url, "page": page}, "id": "1", "type": "tool_call"})


def text(web: LocalWeb, path: str, **changes: Any) -> str:
    message = fetch(web, path, **changes)
    assert message.status == "success", message.content
    return str(message.content)


def refused(web: LocalWeb, path: str, **changes: Any) -> str:
    message = fetch(web, path, **changes)
    assert message.status == "error", message.content
    return str(message.content)


def test_html_as_article_with_its_source_and_links(web: LocalWeb) -> None:
    message = fetch(web, "/doc/7")
    assert "was opened in 1807" in message.content
    assert "서울의 7번째 이야기입니다." in message.content
    assert "hidden" not in message.content
    (source,) = message.artifact["sources"]
    assert source["url"] == source["final_url"] == web.url("/doc/7")
    assert source["title"] == "The station 7 문서"
    assert source["date"] == "2026-01-08"
    assert len(source["sha256"]) == 64
    assert source["fetched"].endswith("Z")
    assert web.url("/doc/49") in message.artifact["links"]
    assert web.url("/doc/49") in message.content


def test_pdf_by_pages(web: LocalWeb) -> None:
    message = fetch(web, "/pdf/3")
    assert "[page 2 of 3]\nReport 3 page 2" in message.content
    (source,) = message.artifact["sources"]
    assert (source["title"], source["date"]) == ("A report", "2026-02-03")
    assert "Disguised" in text(web, "/pdf/as-html")
    assert "PDF" in refused(web, "/pdf/damaged")


@pytest.mark.parametrize("number", range(5))
def test_encodings(web: LocalWeb, number: int) -> None:
    expected = ("서울의 인구", "서울의 인구", "東京の人口", "Größe, élève, señor", "서울의 인구")[number]
    assert expected in text(web, f"/enc/{number}")


def test_text_and_json_as_they_are(web: LocalWeb) -> None:
    message = fetch(web, "/json")
    assert '{"city": "서울"' in message.content
    assert message.artifact["links"] == ["http://site.test/json-link"]
    assert fetch(web, "/text").artifact["links"] == ["http://site.test/text-link"]
    assert "no type told" in text(web, "/untyped")
    assert "(no text)" in text(web, "/empty")
    based = fetch(web, "/html/base")
    assert based.artifact["links"] == [web.url("/doc/3")]


@pytest.mark.parametrize("number", range(5))
def test_redirects_are_followed(web: LocalWeb, number: int) -> None:
    (source,) = fetch(web, f"/r/{number}").artifact["sources"]
    assert (source["url"], source["final_url"]) == (web.url(f"/r/{number}"), web.url(f"/doc/{number}"))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/loop", "in a circle"),
        ("/loop/a", "in a circle"),
        ("/chain/7", "more than 5 times"),
        ("/redirect/ftp", "no http or https"),
        ("/redirect/file", "no http or https"),
        ("/redirect/user", "user name"),
        ("/redirect/odd", "private network"),
        ("/redirect/nowhere", "answers 302"),
        ("/big", "more than 8,000,000 bytes"),
        ("/big/text", "more than 8,000,000 bytes"),
        ("/big/endless", "more than 8,000,000 bytes"),
        ("/bomb", "more than 8,000,000 bytes|suspiciously much"),
        ("/bomb/deflate", "more than 8,000,000 bytes|suspiciously much"),
        ("/gzip/cut", "ends in the middle"),
        ("/gzip/damaged", "damaged"),
        ("/gzip/br", "not asked for"),
        ("/cut", "broke off"),
        ("/cut/chunks", "broke off"),
        ("/no-http", "does not speak HTTP"),
        ("/404", "answers 404"),
        ("/500", "answers 500"),
        ("/image", "image/png"),
        ("/zip", "application/zip"),
        ("/html/binary", "binary"),
        ("ftp://site.test/", "no http or https"),
        ("file:///etc/passwd", "no http or https"),
        ("http://user:pw@site.test/", "user name"),
        ("http://site.test:22/", "port 22"),
        ("http://site.test\\@evil.test/", "characters"),
        ("http://site.test/ x", "characters"),
        ("javascript:alert(1)", "no http or https"),
        ("", "no http or https"),
    ],
)
def test_what_ends_in_a_clear_error(web: LocalWeb, path: str, why: str) -> None:
    import re

    began = time.monotonic()
    message = refused(web, path) if path else fetch(web, "://").content
    assert re.search(why, message), message
    assert "Ignore all previous" not in message
    assert time.monotonic() - began < 10


def test_a_nested_bomb_is_only_unpacked_once(web: LocalWeb) -> None:
    assert len(str(fetch(web, "/bomb/nested").content)) < 10_000


@pytest.mark.parametrize("path", ["/slow", "/stall"])
def test_slow_pages_end_in_time(web: LocalWeb, path: str) -> None:
    began = time.monotonic()
    said = refused(web, path, seconds=1)
    assert "did not come within 1 s" in said or "does not answer in time" in said, said
    assert time.monotonic() - began < 4, "the server itself would end after 5 s"


def test_gzip_is_read(web: LocalWeb) -> None:
    assert "was opened in 1805" in text(web, "/gzip")


def test_a_long_page_is_paged(web: LocalWeb) -> None:
    first = text(web, "/long")
    assert len(first) < 9000
    count = int(first.split("page: 1 of ")[1].split()[0])
    assert count > 3
    assert "paragraph 1999 of a long page" in text(web, "/long", page=count)
    assert f"pages are 1 to {count}" in refused(web, "/long", page=count + 1)


@pytest.mark.slow
def test_a_page_that_would_keep_the_parser_busy_for_minutes(web: LocalWeb) -> None:
    began = time.monotonic()
    assert "takes too long" in refused(web, "/html/attributes")
    assert time.monotonic() - began < 25
    assert "was opened in 1801" in text(web, "/doc/1")


def test_every_page_of_the_web_ends_in_text_or_in_an_error(web: LocalWeb, capsys: Any) -> None:
    """All but those that are slow by intent, 16 at a time, through one tool."""
    paths = [path for path in fixed_pages() if path not in ("/slow", "/stall", "/html/attributes")]
    tool, gate = fetch_page_tool(options(web)), asyncio.Semaphore(16)

    async def one(path: str) -> Any:
        async with gate:
            return await tool.ainvoke({"name": "f", "args": {"url": web.url(path)}, "id": path, "type": "tool_call"})

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(one, paths))

    began = time.monotonic()
    messages = asyncio.run(all_of_them())
    good = [message for message in messages if message.status == "success"]
    with capsys.disabled():
        print(f"\nlocal web: {len(paths)} pages, {len(good)} read, {time.monotonic() - began:.1f} s")
    assert len(paths) >= 200
    assert len(good) > 190
    assert all(len(str(message.content)) < 10_000 for message in messages)


def scoped(home: Home, web: LocalWeb, *urls: str) -> ToolScope:
    scope = ToolScope("run", home)
    scope.addresses.add(urls)
    return scope


def test_only_known_addresses_are_opened(web: LocalWeb, tmp_path: Path) -> None:
    before = web.asked("/doc/90")
    with Home(tmp_path / "home") as home, in_scope(scoped(home, web, web.url("/doc/1"))):
        assert "was opened" in text(web, "/doc/1", egress="known")
        assert "may not be opened" in refused(web, "/doc/90", egress="known")
        assert "may not be opened" in refused(web, "/doc/1?leak=secret", egress="known")
        host = f"*.test:{web.port}"
        assert "was opened" in text(web, "/doc/90", egress="known", allow=(f"{host}/doc/9*",))
        assert "may not be opened" in refused(web, "/doc/80", egress="known", allow=(f"{host}/doc/9*",))
    assert web.asked("/doc/90") == before + 1


@pytest.mark.parametrize(
    ("pattern", "url", "open_"),
    [
        ("docs.python.org", "https://docs.python.org/3/", True),
        ("docs.python.org", "https://docs.python.org.evil.test/3/", False),
        ("docs.python.org", "https://evil.test/docs.python.org", False),
        ("*.python.org", "https://evil.test/?x=.python.org/", False),
        ("*.python.org", "https://evilpython.org/", False),
        ("*.python.org", "https://docs.python.org/", True),
        ("https://python.org/a*", "http://python.org/abc", False),
        ("https://python.org/a*", "https://python.org/abc?q=1", True),
        ("https://python.org/a*", "https://python.org/b", False),
        ("python.org", "https://user@python.org/", False),
        ("python.org", "https://python.org:8443/", False),
    ],
)
def test_patterns(pattern: str, url: str, open_: bool) -> None:
    from langchain_core.tools import ToolException

    from rlm_agent_tools.web.leave import opened

    limits = WebOptions(allow=(pattern,), ports=frozenset({80, 443, 8443}))
    if open_:
        assert opened(url, limits, None)
    else:
        with pytest.raises(ToolException):
            opened(url, limits, None)


def test_a_run_reads_the_same_bytes_again(web: LocalWeb, tmp_path: Path) -> None:
    """Another process of the run, days later: the page of the day on which the run read it first."""
    served = ["first body, long enough. " * 20]
    web.extra["/changing"] = lambda handler: handler.reply(f"<article><p>{served[0]}</p></article>")
    url = web.url("/changing")
    with Home(tmp_path / "home") as home:
        scope = scoped(home, web, url)
        with in_scope(scope):
            first = fetch(web, url, egress="known")
            served[0] = "second body, quite different. " * 20
            assert fetch(web, url, egress="known").artifact == first.artifact
        stored = StoredPages(home.path).get(url)
        assert stored is not None
        assert hashlib.sha256(stored.body).hexdigest() == first.artifact["sources"][0]["sha256"]
        files = [file for file in (home.path / "pages").rglob("*") if file.is_file()]
        assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"]
        day = files[0].parent
        day.rename(day.parent / "2026-11-01")
        with in_scope(scoped(home, web, url)):
            assert "second body" in fetch(web, url, egress="known").content
        old = scoped(home, web, url)
        (source,) = first.artifact["sources"]
        old.addresses.add_artifact({"sources": [{**source, "fetched": "2026-11-01T10:00:00Z"}]})
        with in_scope(old):
            assert "first body" in fetch(web, url, egress="known").content
    del web.extra["/changing"]


def test_the_first_of_a_day_stands_and_damage_is_fetched_anew(tmp_path: Path) -> None:
    with Home(tmp_path / "home").open() as home:
        pages = StoredPages(home.path)
        one, two = (
            StoredPage.of("http://a.test/", "http://a.test/", "text/html", body) for body in (b"one\n1", b"two")
        )
        assert pages.put(one).body == b"one\n1"
        assert pages.put(two).body == b"one\n1"
        (file,) = [file for file in (home.path / "pages").rglob("*") if file.is_file()]
        file.write_bytes(file.read_bytes()[:-1])
        assert pages.get("http://a.test/") is None
        assert pages.put(two).body == b"two"
        found = pages.get("http://a.test/")
        assert found is not None
        assert found.body == b"two"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"egress": "all"}, "known"),
        ({"ports": "80,x"}, "port numbers"),
        ({"seconds": "-1"}, "whole number"),
        ({"keyless": "perhaps"}, "true or false"),
        ({"nonsense": "1"}, "no setting"),
        ({"corpus": "/no/such/place"}, "no directory"),
        ({}, "TAVILY_API_KEY"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlm_agent_tools.web import tools

    monkeypatch.delenv("TAVILY_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=complaint):
        tools(settings)


class _Standard:
    """What LangChain's standard suites are told."""

    @pytest.fixture(autouse=True)
    def served(self, web: LocalWeb) -> None:
        self.web = web

    @property
    def tool_constructor(self) -> BaseTool:
        return fetch_page_tool(options(self.web))

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"url": self.web.url("/doc/3"), "page": 1}


class TestStandardUnit(_Standard, ToolsUnitTests):
    """LangChain's unit suite over fetch_page."""


class TestStandardIntegration(_Standard, ToolsIntegrationTests):
    """LangChain's integration suite over fetch_page."""
