"""Corpus.load of http addresses, against a real server on this machine."""

import gzip
import io
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rlm_agent.corpus import Corpus
from rlm_agent.errors import ConfigError, HomeError
from rlm_agent.store import download
from rlm_agent.store.caps import Caps
from rlm_agent.store.home import default_home

KOREAN = "안녕하세요, 세계\n둘째 줄\n"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/한.txt", KOREAN)
        archive.writestr("b.txt", "bee")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("b.txt")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"bee"))
    return buffer.getvalue()


BODIES: dict[str, tuple[dict[str, str], bytes]] = {
    "/plain.txt": ({}, KOREAN.encode()),
    "/": ({"Content-Type": "text/html"}, b"<p>root</p>\n"),
    "/%ED%95%9C%EA%B8%80.txt": ({}, b"named\n"),
    "/old": ({"Content-Type": 'text/plain; charset="EUC-KR"'}, "喜怒哀樂\n".encode("euc_kr")),
    "/page.html": ({"Content-Type": "text/html; charset=utf-8"}, f"<p>{KOREAN}</p>".encode()),
    "/a.zip": ({"Content-Type": "application/octet-stream"}, zipped()),
    "/a.tgz": ({"Content-Encoding": "gzip"}, tarred()),
    "/coded": ({"Content-Encoding": "gzip"}, gzip.compress(KOREAN.encode())),
    "/brotli": ({"Content-Encoding": "br"}, b"?"),
    "/x.png": ({}, b"\x89PNG\0"),
    "/empty": ({}, b""),
    "/short": ({"Content-Length": "1000"}, b"not all of it"),
    "/huge": ({"Content-Length": str(10**12)}, b""),
}


class Handler(BaseHTTPRequestHandler):
    """Answers by path; `/again/<n>` redirects n times, `/status/<n>` answers with that status."""

    seen: list[tuple[str, str | None, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization"), self.headers.get("Accept-Encoding")))
        kind, _, value = self.path.strip("/").partition("/")
        special = {"again": self._again, "status": self._status, "to": self._to, "endless": self._endless}
        if self.path in BODIES:
            headers, body = BODIES[self.path]
            self._answer(200, {"Content-Length": str(len(body))} | headers, body)
        elif kind == "stall":
            time.sleep(3)
        else:
            special[kind](value)

    def _again(self, value: str) -> None:
        self._answer(302, {"Location": f"/again/{int(value) - 1}" if int(value) > 1 else "/plain.txt"}, b"moved")

    def _status(self, value: str) -> None:
        self._answer(int(value), {"Content-Length": "0"}, b"")

    def _to(self, value: str) -> None:
        targets = {"file": "file:///etc/passwd", "ftp": "ftp://127.0.0.1/x", "bad": "http://[::1", "none": ""}
        if value == "flood":
            self._endless(value, 302, {"Location": "/plain.txt"})
        else:
            self._answer(302, {"Location": targets[value]} if targets[value] else {}, b"")

    def _endless(self, _: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(status, headers or {}, b"")
        try:
            for _ in range(2000):
                self.wfile.write(b"x" * 99_999 + b"\n")
        except OSError:
            return
        self.seen.append(("all of it was read", None, None))

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Handler.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _closed_home() -> Iterator[None]:
    yield
    assert list((default_home().path / "tmp").iterdir()) == []
    default_home().close()


def text_of(handle: dict) -> str:
    return default_home().corpora.source(handle).path.read_bytes().decode()


def names_of(handle: dict) -> list[str]:
    return [name for name, _, _ in default_home().corpora.source(handle).index]


def test_an_address_gives_its_text(server: str) -> None:
    corpus = Corpus.load(f"{server}/plain.txt")
    assert text_of(corpus) == KOREAN
    assert (corpus["kind"], corpus["name"], corpus["files"]) == ("text", "plain.txt", 1)
    assert (
        corpus["digest"]
        == Corpus.load(KOREAN)["digest"]
        == Corpus.load(f"{server}/plain.txt".upper()[:4] + (f"{server}/plain.txt"[4:]))["digest"]
    )
    assert Handler.seen[0] == ("/plain.txt", None, "identity")


def test_names_come_from_the_path(server: str) -> None:
    assert Corpus.load(f"{server}/%ED%95%9C%EA%B8%80.txt")["name"] == "한글.txt"
    assert Corpus.load(f"{server}/")["name"] == server.removeprefix("http://")
    assert Corpus.load(f"{server}")["name"] == server.removeprefix("http://")


def test_html_is_kept_and_a_told_charset_is_believed(server: str) -> None:
    assert text_of(Corpus.load(f"{server}/page.html")) == f"<p>{KOREAN}</p>"
    corpus = Corpus.load(f"{server}/old")
    assert text_of(corpus) == "喜怒哀樂\n"
    assert corpus["recoded_as"] == {"old": "cp949"}


def test_an_archive_and_a_coded_reply_are_unpacked(server: str) -> None:
    assert names_of(Corpus.load(f"{server}/a.zip")) == ["a/한.txt", "b.txt"]
    assert names_of(Corpus.load(f"{server}/a.tgz")) == ["b.txt"]
    assert text_of(Corpus.load(f"{server}/coded")) == KOREAN
    assert text_of(Corpus.load(f"{server}/empty")) == ""


def test_five_redirects_are_followed_and_no_more(server: str) -> None:
    assert text_of(Corpus.load(f"{server}/again/5")) == KOREAN
    with pytest.raises(ConfigError, match=r"/again/6 cannot be fetched: it redirects more than 5 times"):
        Corpus.load(f"{server}/again/6")
    assert len(Handler.seen) == 12


def test_the_body_of_a_redirect_is_not_read(server: str) -> None:
    assert text_of(Corpus.load(f"{server}/to/flood")) == KOREAN
    assert ("all of it was read", None, None) not in Handler.seen


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/status/404", r"/status/404 cannot be fetched: 404 Not Found"),
        ("/status/500", r"cannot be fetched: 500 Internal Server Error"),
        ("/status/304", r"cannot be fetched: 304"),
        ("/to/file", r"/to/file cannot be fetched \(UnsupportedProtocol.*'file"),
        ("/to/ftp", r"/to/ftp cannot be fetched \(UnsupportedProtocol.*'ftp"),
        ("/to/bad", r"/to/bad cannot be fetched"),
        ("/to/none", r"/to/none cannot be fetched: 302"),
        ("/short", r"/short cannot be fetched \(RemoteProtocolError"),
        ("/brotli", r"/brotli sends br, which was not asked for"),
        ("/x.png", r"http://.*/x\.png is binary, not text"),
        ("/huge", r"/huge sends more than 512,000,000 bytes"),
    ],
)
def test_what_goes_wrong_names_the_address(server: str, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Corpus.load(server + path)


def test_more_than_the_cap_is_not_read(server: str) -> None:
    with pytest.raises(ConfigError, match=r"/endless/ sends more than 5,000,000 bytes.*download it and give the file"):
        default_home().corpora.load(f"{server}/endless/", Caps(fetched=5_000_000))
    assert ("all of it was read", None, None) not in Handler.seen
    with pytest.raises(ConfigError, match="takes it above 10 bytes unpacked"):
        default_home().corpora.load(f"{server}/coded", Caps(unpacked=10))


def test_a_server_that_stalls_or_is_not_there_is_named(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_SILENT_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"/stall cannot be fetched \(ReadTimeout"):
        Corpus.load(f"{server}/stall")
    assert time.monotonic() - started < 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match=r"cannot be fetched \(ConnectError"):
            Corpus.load(f"http://127.0.0.1:{taken.getsockname()[1]}/x")


def test_a_password_is_sent_but_never_shown(server: str) -> None:
    host = server.removeprefix("http://")
    corpus = Corpus.load(f"http://user:s3cret@{host}/plain.txt")
    assert Handler.seen[0][1] == "Basic dXNlcjpzM2NyZXQ="
    assert Corpus.load(f"http://user:s3cret@{host}/")["name"] == host
    with pytest.raises(ConfigError) as raised:
        Corpus.load(f"http://user:s3cret@{host}/status/403")
    assert "s3cret" not in f"{raised.value}{corpus}"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://example.org/a.txt", "fetches http and https addresses, not ftp://example"),
        ("file:///etc/passwd", "fetches http and https addresses, not file:///etc"),
        ("s3://bucket/key", "download it and give the file"),
        ("https://", "fetches http and https addresses, not https://"),
        ("http://[::1", "is no address"),
        ("http://127.0.0.1:99999999/", "cannot be fetched|is no address"),
        ("http://a..b/", "cannot be fetched"),
        ("http://user:s3cret@:80/", "not http://:80/"),
    ],
)
def test_what_is_no_http_address_is_refused(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Corpus.load(address)


def test_an_address_within_a_text_is_text() -> None:
    for text in ("see https://example.org/a\n", "https://example.org\nhttps://example.net\n"):
        assert text_of(Corpus.load(text)) == text
    with pytest.raises(ConfigError, match="pass it as bytes"):
        Corpus.load("https://example.org/a is down")


def test_a_home_that_cannot_be_written_is_no_fault_of_the_address(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(reply: object, size: int) -> Iterator[bytes]:
        raise OSError(28, "No space left on device", str(tmp_path))
        yield b""

    import httpx2

    monkeypatch.setattr(httpx2.Response, "iter_raw", full)
    with pytest.raises(HomeError, match="free disk space"):
        Corpus.load(f"{server}/plain.txt")


def test_lists_take_addresses(server: str) -> None:
    load: Callable[[object], Corpus] = Corpus.load
    corpus = load([f"{server}/plain.txt", f"{server}/a.zip", f"{server}/page.html"])
    assert names_of(corpus) == ["plain.txt", "a.zip/a/한.txt", "a.zip/b.txt", "page.html"]
    assert names_of(load({"page": f"{server}/page.html"})) == ["page"]
    with pytest.raises(ConfigError, match=r"status/404 cannot be fetched: 404"):
        load([f"{server}/plain.txt", f"{server}/status/404"])
