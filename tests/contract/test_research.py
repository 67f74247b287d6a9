"""The research agent over a local web of more than 200 pages, through real HTTP: quotes are compared by code."""

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from local_web import LocalWeb, fixed_pages, local_web

from rlm_agent import Home, ModelError, open_run
from rlm_agent.bridge import run_sync
from rlm_agent.recorded.transfer import export_run, import_run
from rlm_agent.store.pages import StoredPage, StoredPages
from rlm_agent.testing import ScriptedModel
from rlm_agent_graphs.research import graph, research
from rlm_agent_tools.web import SearchResult, WebOptions, web_tools

THREAD = {"configurable": {"thread_id": "r"}}
ASK = """```python
schema = {"type": "object", "required": ["url", "quote"]}
found = llm_batch([{"prompt": f"Report {n}: when was it opened?", "schema": schema} for n in (7, 9, 11)])
sources = [{"url": r.data["url"], "quote": r.data["quote"]} for r in found]
print([len(r.sources) for r in found])
```"""
DRAFT = """```python
draft = cited("It was opened [1], then [2] and [3].", sources)
print(draft)
answer["content"] = draft
```"""
READY = """```python
answer["ready"] = True
```"""


@pytest.fixture(scope="module")
def web() -> Iterator[LocalWeb]:
    with local_web() as web:
        yield web


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "own") as opened:
        yield opened


class Search:
    """Finds the pages of the web whose number is in the query; the pages are fetched over HTTP."""

    def __init__(self, web: LocalWeb) -> None:
        self.web = web

    async def search(self, query: str, count: int) -> list[SearchResult]:
        numbers = re.findall(r"\d+", query)
        return [SearchResult(self.web.url(f"/doc/{n}"), f"Report {n}", "") for n in numbers][:count]


def tools(web: LocalWeb) -> list[Any]:
    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    reach = frozenset({("127.0.0.1", web.port)})
    return web_tools(Search(web), WebOptions(reach=reach, resolve=here))


def reader(quote_of: Callable[[str], str] = lambda sentence: sentence) -> Callable[[list[Any]], Any]:
    """Sub-agents that search, open the first hit, and quote its sentence on the opening."""

    def reply(messages: list[Any]) -> Any:
        results = [m for m in messages if isinstance(m, ToolMessage)]
        if not results:
            return AIMessage("", tool_calls=[{"name": "web_search", "args": {"query": messages[-1].text}, "id": "s"}])
        if len(results) == 1:
            url = re.findall(r"http://\S+", str(results[0].content))[0]
            return AIMessage("", tool_calls=[{"name": "fetch_page", "args": {"url": url}, "id": "f"}])
        page = str(results[1].content)
        sentence = re.findall(r"[^.\n]*was opened in \d+[^.\n]*\.", page)[0].strip()
        return json.dumps({"url": re.findall(r"^url: (\S+)", page, re.M)[0], "quote": quote_of(sentence)})

    return reply


def agent(web: LocalWeb, home: Home, turns: list[str], sub: Any = None, **options: Any) -> Any:
    root = ScriptedModel(replies=lambda messages: turns[sum(m.type == "ai" for m in messages)])
    model = ScriptedModel(replies=sub or reader())
    return research(root, tools(web), sub_model=model, home=home, checkpointer=home.checkpointer, **options)


def ask(made: Any) -> dict[str, Any]:
    out: dict[str, Any] = made.invoke({"messages": [("user", "When was it opened?")]}, THREAD)
    return out


@contextmanager
def changed_web(web: LocalWeb) -> Iterator[None]:
    web.extra["/doc/7"] = lambda h: h.reply("<article><p>All of it was a mistake.</p></article>")
    try:
        yield
    finally:
        web.extra.clear()


def test_an_answer_with_checked_quotes(web: LocalWeb, home: Home) -> None:
    assert len(fixed_pages()) >= 200
    out = ask(agent(web, home, [ASK, DRAFT, READY]))
    text, _, sources = out["rlm"]["content"].partition("\n\nSources\n\n")
    assert out["rlm"]["ready"]
    assert text == "It was opened [1], then [2] and [3]."
    entries = sources.split("\n[")
    assert len(entries) == 3
    for entry, n in zip(entries, (7, 9, 11), strict=True):
        assert f"/doc/{n}\n" in entry
        assert f"was opened in {1800 + n}" in entry
        assert "(on the page as read on 20" in entry
    assert "NOT CONFIRMED" not in sources


def test_what_is_not_on_the_page_is_flagged(web: LocalWeb, home: Home) -> None:
    false = reader(lambda sentence: sentence.replace("1809", "1870"))
    out = ask(agent(web, home, [ASK, DRAFT, READY], false))
    first, second, third = out["rlm"]["content"].partition("\n\nSources\n\n")[2].split("\n[")
    assert "(NOT CONFIRMED: it is not on the page)" in second
    assert "NOT CONFIRMED" not in first + third


def test_the_root_may_mend_a_quote_before_it_answers(web: LocalWeb, home: Home) -> None:
    mend = DRAFT.replace("draft =", "sources[1]['quote'] = sources[1]['quote'].replace('1870', '1809')\ndraft =")
    out = ask(agent(web, home, [ASK, DRAFT, mend, READY], reader(lambda s: s.replace("1809", "1870"))))
    assert "NOT CONFIRMED" not in out["rlm"]["content"]


def test_a_page_that_was_never_read_confirms_nothing(web: LocalWeb, home: Home) -> None:
    never = ASK.replace("print(", f"sources[0]['url'] = {web.url('/doc/50')!r}\nprint(")
    out = ask(agent(web, home, [never, DRAFT, READY]))
    assert "(NOT CONFIRMED: this run has not read that address)" in out["rlm"]["content"]


@pytest.mark.parametrize(
    "forged",
    [
        "answer['content'] = 'It was opened in 1807.'",
        "answer['content'] = {'text': 'x'}",
        "answer['content'] = draft.replace('NOT CONFIRMED: it is not on the page', 'on the page')",
        "answer['content'] = draft.replace('1870', '1809')",
        "answer['content'] = draft + '\\n[4] http://site.test/\\n    \"A sentence that nobody wrote.\" (on the page)'",
        "answer['content'] = draft.split('\\n\\nSources')[0] + '\\n\\nSources\\n\\n'",
    ],
)
def test_the_verdict_is_the_codes_not_the_roots(web: LocalWeb, home: Home, forged: str) -> None:
    forge = f"```python\n{forged}\nanswer['ready'] = True\n```"
    back = "```python\nanswer['content'] = draft\n```"
    made = agent(web, home, [ASK, DRAFT, forge, back, READY], reader(lambda s: s.replace("1809", "1870")))
    out = ask(made)
    complained = [turn.record for turn in open_run("r", name="research", home=home).turns]
    assert len(complained) == 5
    assert "(NOT CONFIRMED: it is not on the page)" in out["rlm"]["content"]


def test_marks_and_sources_must_fit(web: LocalWeb, home: Home) -> None:
    wrong = """```python
said = []
for text, given in [("See [2].", sources[:1]), ("None.", sources[:1]), ("[1]", [{"url": "x"}]), ("[1]", ["x"])]:
    try:
        cited(text, given)
    except Exception as error:
        said.append(str(error))
answer["content"] = cited("Nothing was found.", [])
print(said)
```"""
    out = ask(agent(web, home, [ASK, wrong, READY]))
    assert out["rlm"]["content"].endswith("(none: nothing in this answer was compared with a page)")
    printed = open_run("r", name="research", home=home).turns[1].output
    for part in ("the text cites [2]", "source 1 is not cited", "a source is", "source 1:"):
        assert part in printed


def test_a_check_of_the_callers_comes_after(web: LocalWeb, home: Home) -> None:
    said: list[str] = []

    def check(content: str) -> str | None:
        said.append(content)
        return "too dull" if len(said) == 1 else None

    again = "```python\nanswer['content'] = draft.replace('It was', 'It really was') if False else draft\n```"
    out = ask(agent(web, home, [ASK, DRAFT, READY, again, READY], check=check))
    assert out["rlm"]["ready"]
    assert len(said) == 2


def test_the_same_bytes_after_the_web_has_changed(web: LocalWeb, home: Home) -> None:
    """A resumed run compares with what it read, not with what the page says by then."""
    made = agent(web, home, [ASK, DRAFT, READY])
    stopped = agent(web, home, [ASK])
    with pytest.raises(ModelError):
        ask(stopped)
    before = web.asked("/doc/7")
    with changed_web(web):
        out = made.invoke(None, THREAD)
    assert "NOT CONFIRMED" not in out["rlm"]["content"]
    assert web.asked("/doc/7") == before


@pytest.mark.parametrize("read_there", [False, True], ids=["new", "read"])
def test_the_same_bytes_in_another_home(web: LocalWeb, home: Home, tmp_path: Path, read_there: bool) -> None:
    """An archive carries the pages, and where the other home has other bytes of an address and day, both are kept."""
    with pytest.raises(ModelError):
        ask(agent(web, home, [ASK]))
    export_run(home, open_run("r", home=home, name="research").record, tmp_path / "run.zip")
    before = web.asked("/doc/7")
    with changed_web(web), Home(tmp_path / "there") as there:
        if read_there:
            with pytest.raises(ModelError):
                agent(web, there, [ASK]).invoke({"messages": [("user", "?")]}, {"configurable": {"thread_id": "own"}})
        run_sync(lambda: import_run(there, tmp_path / "run.zip"))
        out = agent(web, there, [ASK, DRAFT, READY]).invoke(None, THREAD)
        assert out["rlm"]["ready"]
        assert "NOT CONFIRMED" not in out["rlm"]["content"]
        export_run(there, open_run("r", home=there, name="research").record, tmp_path / "again.zip")
    with zipfile.ZipFile(tmp_path / "again.zip") as again:
        pages = [again.read(name) for name in again.namelist() if name.startswith("pages/")]
    assert sum(b"was opened in 1807" in page for page in pages) == 1
    assert web.asked("/doc/7") == before + read_there


def test_pages_that_a_run_read_stay_as_long_as_the_run(web: LocalWeb, home: Home) -> None:
    with pytest.raises(ModelError):
        ask(agent(web, home, [ASK]))
    StoredPages(home.path).put(StoredPage.of("http://a.test/", "http://a.test/", "text/html", b"x"))
    for file in pages_of(home):
        os.utime(file, (0, 0))
    assert home.sweeper.sweep().pages == 1, "that which no run has read"
    assert len(pages_of(home)) == 3
    open_run("r", home=home, name="research").delete()
    assert home.sweeper.sweep(dry_run=True).pages == 3
    assert home.sweeper.sweep().pages == 3
    assert pages_of(home) == []


def test_a_page_that_was_read_today_stays(home: Home) -> None:
    StoredPages(home.path).put(StoredPage.of("http://a.test/", "http://a.test/", "text/html", b"x"))
    assert home.sweeper.sweep(grace=0).pages == 0


def pages_of(home: Home) -> list[Path]:
    return [file for file in (home.path / "pages").rglob("*") if file.is_file()]


ALL = """```python
urls = [line for line in task.split() if line.startswith("http")]
found = llm_batch([f"Open {url}" for url in urls])
pairs = [r.split("\\n", 1) for r in found if r.ok and "\\n" in r]
sources = [{"url": url, "quote": quote} for url, quote in pairs]
text = "Read: " + " ".join(f"[{n}]" for n in range(1, len(sources) + 1))
draft = cited(text, sources)
answer["content"] = draft
print(len(urls), len(sources), sum(not r.ok for r in found))
```"""


def quoting(messages: list[Any]) -> Any:
    """A sub-agent that opens the one address of its prompt, and quotes the middle of what it reads."""
    if not isinstance(messages[-1], ToolMessage):
        url = messages[-1].text.split()[-1]
        return AIMessage("", tool_calls=[{"name": "fetch_page", "args": {"url": url}, "id": "f"}])
    page = str(messages[-1].content)
    body = page.split("\n\n", 1)[-1].rsplit("[untrusted", 1)[0].strip()
    if messages[-1].status == "error" or len("".join(body.split())) < 40:
        return "nothing to quote"
    at = len(body) // 2
    url = re.findall(r"^url: (\S+)", page, re.M)[0]
    return f"{url}\n{' '.join(body[max(0, at - 60) : at + 60].split())}"


@pytest.mark.slow
def test_every_page_of_the_web_is_read_and_every_quote_is_compared(web: LocalWeb, home: Home, capsys: Any) -> None:
    paths = [path for path in fixed_pages() if path not in ("/slow", "/stall", "/html/attributes")]
    made = agent(web, home, [ALL, READY], quoting)
    question = "Read all of: " + " ".join(map(web.url, paths))
    out = made.invoke({"messages": [("user", question)]}, THREAD)
    content, (turn, *_) = out["rlm"]["content"], open_run("r", name="research", home=home).turns
    pages, quoted, failed = map(int, turn.output.split()[-3:])
    flagged = content.count("NOT CONFIRMED")
    assert (pages, failed) == (len(paths), 0)
    assert quoted >= 150
    assert flagged == 0
    with capsys.disabled():
        print(f"\n{pages} pages read, {quoted} quoted, {quoted - flagged} quotes on their page, {flagged} flagged")


def test_without_a_key_it_loads_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAVILY_API_KEY", raising=False)
    assert graph().name == "research"
    tool = research("offline").spec.tools["web_search"]
    message = tool.invoke({"name": "web_search", "args": {"query": "x"}, "id": "1", "type": "tool_call"})
    assert message.status == "error"
    assert "TAVILY_API_KEY" in message.content


def test_without_a_key_it_ends_with_an_answer(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    monkeypatch.delenv("TAVILY_API_KEY", raising=False)
    made = research("offline", home=home, checkpointer=home.checkpointer)
    question = "Which module defines the class ThreadPoolExecutor [1]?"
    out = made.invoke({"messages": [("user", question)]}, THREAD)["rlm"]
    assert (out["ready"], out["stopped_by"]) == (True, "ready")
    assert "no language model" in out["content"]
    assert out["content"].endswith("(none: nothing in this answer was compared with a page)")
