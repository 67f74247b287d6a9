"""HTML, PDF and plain text as text, title, date and links. Runs in the child process (`worker.py`) only.

Invariant: it knows bytes and the address that relative links are read against; it opens nothing.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import urljoin

from rlm_agent_tools.text import NotText, decoded

__all__ = ["Unreadable", "extracted"]

MOST_PDF_PAGES = 500
MOST_CHARS = 4_000_000
MOST_LINKS = 1000
SHOWN_LINKS = 100
_DROPPED = ("script", "style", "noscript", "template", "svg", "iframe", "object")
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "td",
        "th",
        "tr",
        "ul",
    ]
)


class Unreadable(Exception):
    """The document has no text; the message says why."""


def extracted(kind: str, data: bytes, url: str, declared: str, *, plain: bool) -> dict[str, Any]:
    """What a document says.

    Args:
        kind: "html", "pdf" or "text".
        data: its bytes.
        url: its address.
        declared: the charset that the server told, or "".
        plain: of HTML, all text there is in one quick pass, instead of the article without its surroundings.

    Returns:
        {"title", "date", "text", "links"}; title and date may be None.

    Raises:
        Unreadable: there is no text in it.
    """
    if kind == "pdf":
        return _pdf(data)
    try:
        text = decoded(data, declared)
    except NotText:
        raise Unreadable("it is binary, not text") from None
    if kind == "html":
        return _html(text, url, plain=plain)
    links = [match[0].rstrip(".,;:!?)]}'\"") for match in re.finditer(r"https?://[^\s<>\"']{1,2000}", text)]
    return {"title": None, "date": None, "text": text[:MOST_CHARS], "links": links[:MOST_LINKS]}


def _html(text: str, url: str, *, plain: bool) -> dict[str, Any]:
    tree = _tree(text)
    if tree is None:
        return {"title": None, "date": None, "text": "", "links": []}
    named = list(_links(tree, url))
    found: dict[str, Any] = {"title": _title(tree), "date": None, "text": ""}
    if not plain:
        found |= _article(text, url, found["title"])
    found["text"] = (found["text"] or _all_text(tree))[:MOST_CHARS] + _link_list(named)
    return {**found, "links": list(dict.fromkeys(link for link, _ in named))[:MOST_LINKS]}


def _tree(text: str) -> Any:
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", no_network=True)
    try:
        return html.fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None


def _article(text: str, url: str, title: str | None) -> dict[str, Any]:
    import trafilatura

    document: Any = trafilatura.bare_extraction(text, url=url, with_metadata=True, favor_recall=True)
    if document is None:
        return {}
    return {"title": title or document.title, "date": document.date, "text": document.text or ""}


def _title(tree: Any) -> str | None:
    title = " ".join((tree.findtext(".//title") or "").split())
    return title[:300] or None


def _links(tree: Any, url: str) -> Iterator[tuple[str, str]]:
    base = tree.find(".//base")
    start = urljoin(url, base.get("href") or "") if base is not None else url
    for element in tree.iter("a", "area"):
        try:
            link = urljoin(start, (element.get("href") or "").strip())
        except ValueError:
            continue
        if link.lower().startswith(("http://", "https://")) and len(link) <= 2000:
            yield link, " ".join("".join(element.itertext()).split())[:80]


def _link_list(named: list[tuple[str, str]]) -> str:
    lines = [f"{text} <{link}>" if text else f"<{link}>" for link, text in dict(reversed(named)).items()]
    shown = list(reversed(lines))[:SHOWN_LINKS]
    return "\n\nLinks on this page:\n" + "\n".join(shown) if shown else ""


def _all_text(tree: Any) -> str:
    parts: list[str] = []
    for event, element in _walk(tree):
        if element.tag in _BLOCKS:
            parts.append("\n")
        parts.append((element.text if event == "start" else element.tail) or "")
    lines = (" ".join(line.split()) for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """The elements as they open and close, without those whose content is not to be read."""
    from lxml import etree

    inside = 0
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        dropped = element.tag in _DROPPED or element.tag == "head"
        if event == "start":
            inside += dropped
        if not inside:
            yield event, element
        if event == "end":
            inside -= dropped


def _pdf(data: bytes) -> dict[str, Any]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("it is encrypted with a password")
        count = len(reader.pages)
        text = "\n\n".join(_pdf_pages(reader, count))
        meta = reader.metadata
        title, date = (meta.title, meta.creation_date) if meta is not None else (None, None)
    except Unreadable:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, RecursionError, AttributeError, IndexError, OSError) as error:
        raise Unreadable(f"it is a damaged PDF ({type(error).__name__})") from error
    if not text.strip():
        raise Unreadable("it is a PDF without text, perhaps of scanned pages")
    day = date.date().isoformat() if date is not None else None
    return {"title": " ".join((title or "").split())[:300] or None, "date": day, "text": text, "links": []}


def _pdf_pages(reader: Any, count: int) -> Iterator[str]:
    size = 0
    for number in range(min(count, MOST_PDF_PAGES)):
        text = f"[page {number + 1} of {count}]\n{reader.pages[number].extract_text()}"
        size += len(text)
        if size > MOST_CHARS:
            return
        yield text
