"""The guard against private networks: every notation, name, redirect and trick, and no connection is made.

A trap listens on loopback; connections are counted there, and at the one place where the tools make them.
"""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import httpcore2
import pytest
from local_web import CERTIFICATE, LocalWeb, local_web

from rlm_agent_tools.web import WebOptions, fetching
from rlm_agent_tools.web.fetch_page import fetch_page_tool
from rlm_agent_tools.web.network import look_up
from rlm_agent_tools.web.public import is_public

_WRITTEN = """
127.0.0.1 127.1 127.0.1 127.255.255.254 0x7f.0.0.1 0x7f000001 0x7f.1 2130706433 0177.0.0.1 017700000001 0177.1
0x7f.0x0.0x0.0x1 00000177.0.0.1 127.0.0.1. 0 0.0.0.0 0x0 localhost LOCALHOST localhost. ip6-localhost ①②⑦.⓪.⓪.①
１２７.０.０.１ 127。0。0。1 ⓛⓞⓒⓐⓛⓗⓞⓢⓣ %31%32%37.0.0.1 127%2e0%2e0%2e1 [::1] [::] [0:0:0:0:0:0:0:1] [0000::0001]
[::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::127.0.0.1] [::7f00:1] [64:ff9b::127.0.0.1]
[64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:0001::1] [2001:0:7f00:1::1]
[2001:0:808:808:0:0:80ff:fffe] [fe80::5efe:7f00:1] [2001:4860::5efe:7f00:1] [::1%25lo] [fe80::1%25eth0] [fe80::1]
[fc00::1] [fd00:ec2::254] [fec0::1] [ff02::1] [100::1] [2001:db8::1] 10.0.0.1 10.255.255.255 172.16.0.1
172.31.255.255 192.168.0.1 192.168.1.254 169.254.169.254 169.254.170.2 169.254.0.1 0xa9.0xfe.0xa9.0xfe 2852039166
0251.0376.0251.0376 [::ffff:169.254.169.254] [::ffff:a9fe:a9fe] 100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.192
192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 192.88.99.1 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255 0.1.2.3
"""
LITERALS = _WRITTEN.split()
NAMES = {
    "private.test": ["10.1.2.3"],
    "loopback.test": ["127.0.0.1"],
    "six.test": ["::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "mixed.test": ["8.8.8.8", "127.0.0.1"],
    "mixed-late.test": ["8.8.8.8", "1.1.1.1", "9.9.9.9", "10.0.0.1"],
    "mixed-six.test": ["2001:4860:4860::8888", "fd00::1"],
    "scoped.test": ["fe80::1%lo"],
    "nothing.test": [],
    "junk.test": ["not-an-address"],
}


@pytest.fixture(scope="module")
def trap() -> Iterator[LocalWeb]:
    with local_web() as web:
        yield web


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections were made to; those to loopback are made, others are not let out of the machine."""
    made: list[tuple[str, int]] = []
    real = httpcore2.AnyIOBackend.connect_tcp

    async def connect_tcp(self: Any, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        made.append((host, port))
        if host not in ("127.0.0.1", "::1"):
            raise httpcore2.ConnectError("not let out")
        return await real(self, host, port, *args, **kwargs)

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    return made


async def resolve(host: str, port: int) -> list[str]:
    if host in NAMES:
        return NAMES[host]
    if host == "open.test":
        return ["127.0.0.1"]
    return await look_up(host, port)


def attempt(url: str, trap: LocalWeb, **changes: Any) -> Any:
    given: dict[str, Any] = {"egress": "any", "ports": frozenset({80, 443, trap.port}), "resolve": resolve}
    tool = fetch_page_tool(WebOptions(**{**given, **changes}))
    return tool.invoke({"name": tool.name, "args": {"url": url}, "id": "1", "type": "tool_call"})


def test_no_form_of_a_private_address_is_reached(trap: LocalWeb, connected: list[tuple[str, int]], capsys: Any) -> None:
    hosts = [*LITERALS, *NAMES]
    forms = [f"http://{host}:{trap.port}/doc/1" for host in hosts] + [f"http://{host}/" for host in hosts]
    forms += [
        f"http://8.8.8.8@127.0.0.1:{trap.port}/",
        f"http://8.8.8.8:80@127.0.0.1:{trap.port}/",
        f"http://8.8.8.8#@127.0.0.1:{trap.port}/",
        f"http://8.8.8.8\\@127.0.0.1:{trap.port}/",
        f"http://127.0.0.1:{trap.port}\\@8.8.8.8/",
        f"http:///127.0.0.1:{trap.port}/",
        f"http:127.0.0.1:{trap.port}/",
        f"//127.0.0.1:{trap.port}/",
        f"http://127.0.0.1:{trap.port}\t/",
        f"http://127.0.0.1\n:{trap.port}/",
        f"gopher://127.0.0.1:{trap.port}/",
        f"ws://127.0.0.1:{trap.port}/",
        "file:///etc/passwd",
        "unix:/var/run/docker.sock",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    ]
    before = trap.connections
    reached = []
    for form in forms:
        message = attempt(form, trap)
        if message.status != "error" or "Error" in message.content[:6]:
            reached.append(form)
    # By the letter one of them names the public address; a name with a private address among its own never leads there.
    private = [place for place in connected if place != ("8.8.8.8", 80)]
    with capsys.disabled():
        print(f"\nweb guard: {len(forms)} forms of address, {len(reached) + len(private)} reached")
    assert not reached
    assert not private
    assert connected == [("8.8.8.8", 80)]
    assert trap.connections == before
    assert len(forms) >= 40


def test_a_redirect_is_checked_as_its_first_address_is(
    trap: LocalWeb, connected: list[tuple[str, int]], capsys: Any
) -> None:
    """Redirects of a server that may be reached, to one that may not: each form is one page that redirects there."""
    with local_web() as server:
        reach = frozenset({("127.0.0.1", server.port)})
        hosts = [*LITERALS, *NAMES]
        before, failed = trap.connections, []
        for number, host in enumerate(hosts):
            target = f"http://{host}:{trap.port}/doc/1"
            server.extra[f"/to/{number}"] = lambda handler, target=target: handler.go(target)
            message = attempt(server.url(f"/to/{number}", "open.test"), trap, reach=reach)
            if message.status != "error" or server.asked(f"/to/{number}") != 1:
                failed.append((host, message.content))
        elsewhere = [place for place in connected if place != ("127.0.0.1", server.port)]
    with capsys.disabled():
        print(f"\nweb guard: {len(hosts)} redirects, {len(elsewhere)} reached")
    assert not failed
    assert not elsewhere
    assert trap.connections == before


def test_a_name_that_changes_between_look_up_and_connection(trap: LocalWeb, connected: list[tuple[str, int]]) -> None:
    """DNS rebinding: the second look-up would lead to loopback; there is none."""
    answers = [["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    before = trap.connections
    assert attempt(f"http://rebind.test:{trap.port}/", trap, resolve=rebinding).status == "error"
    assert connected == [("93.184.216.34", trap.port)]
    assert trap.connections == before
    assert len(answers) == 2


def test_the_seam_opens_one_address_and_port_only(trap: LocalWeb, connected: list[tuple[str, int]]) -> None:
    with local_web() as other:
        reach = frozenset({("127.0.0.1", trap.port)})
        assert "was opened in 1801" in attempt(trap.url("/doc/1", "127.0.0.1"), trap, reach=reach).content
        ports = frozenset({trap.port, other.port})
        assert attempt(other.url("/doc/1", "127.0.0.1"), trap, reach=reach, ports=ports).status == "error"
        assert other.connections == 0
        assert attempt(f"http://[::1]:{trap.port}/doc/1", trap, reach=reach).status == "error"


def test_the_proxy_of_the_environment_is_not_used(
    trap: LocalWeb, connected: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    before = trap.connections
    attempt("http://93.184.216.34/", trap)
    assert connected == [("93.184.216.34", 80)]
    assert trap.connections == before


def test_a_certificate_is_checked_against_the_name_though_the_address_is_connected_to(
    trap: LocalWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    def fetched(host: str) -> Any:
        reach = frozenset({("127.0.0.1", server.port)})
        return attempt(f"https://{host}:{server.port}/doc/1", trap, reach=reach, resolve=here)

    with local_web(tls=True) as server:
        assert "cannot be reached" in fetched("site.test").content
        trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
        monkeypatch.setattr(fetching, "_trust", lambda: trusting)
        assert "was opened in 1801" in fetched("site.test").content
        assert "cannot be reached" in fetched("other.test").content


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "93.184.216.34",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_nothing_but_tcp(trap: LocalWeb) -> None:
    from rlm_agent_tools.web.network import Guard, Refused

    with pytest.raises(Refused):
        asyncio.run(Guard(WebOptions()).connect_unix_socket("/var/run/docker.sock"))
