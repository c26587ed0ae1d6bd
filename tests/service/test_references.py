"""Inputs by reference: what is fetched, what never is, and by whom.

All servers are real ones on this host, which fetching is allowed to reach where a test says so.
Names are made up by a resolver of the test's own.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socketserver
import ssl
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import certifi
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pywps import Format
from pywps.inout.outputs import MetaFile

import wps_client as client
from in_process_service import open_service
from joblauncher.inputs import addresses, deadline, fetch, references, resolve
from joblauncher.inputs.policy import (
    Bounds,
    Reference,
    Refused,
    Stopped,
    TooLarge,
    local_file,
    parse,
    vet,
)
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.stage import stage
from pywps_hpc.jobs import new_id
from pywps_hpc.web import input_references as in_web
from servers import HTTP, HpcServer, wait_for
from web_answers import HERE, OK_HEAD, Names, Web, content, drip, get, redirect, serve
from wps_client import NS, OWS, WPS, XLINK

UNREACHABLE = "its host is unknown or not allowed"
SECRET = "hunter2"


# Addresses

SPECIAL = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "198.18.0.1"),
    *("168.63.129.16", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("2001:db8::1", "2001::1", "fec0::1", "64:ff9b:1::1", "100::1", "::7f00:1", "5f00::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]


def wrappings(address: IPv4Address) -> list[IPv6Address]:
    """The IPv6 addresses through which an IPv4 one is reached."""
    number = int(address)
    return [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
    ]


@pytest.mark.parametrize("text", SPECIAL)
def test_address_that_is_not_public_is_refused_in_every_form(text: str) -> None:
    address = ip_address(text)
    assert not addresses.is_allowed(address, ())
    if isinstance(address, IPv4Address):
        assert not any(addresses.is_allowed(form, ()) for form in wrappings(address))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_address_is_allowed(text: str) -> None:
    assert addresses.is_allowed(ip_address(text), ())


@given(st.ip_addresses(v=4))
def test_a_wrapped_address_is_what_is_inside(address: IPv4Address) -> None:
    for form in wrappings(address):
        assert addresses.is_public(form) == addresses.is_public(address)
        assert addresses.effective(form) == address


@given(st.ip_addresses())
def test_no_address_that_python_calls_special_is_public(address: IPv4Address | IPv6Address) -> None:
    inner = addresses.effective(address)
    special = (
        inner.is_private
        or inner.is_loopback
        or inner.is_link_local
        or inner.is_multicast
        or inner.is_reserved
        or inner.is_unspecified
    )
    assert not (special and addresses.is_public(address))


@given(st.sampled_from([ip_network("10.0.0.0/8"), ip_network("fc00::/7")]), st.data())
def test_an_allowed_network_allows_its_addresses_and_no_others(network: Any, data: Any) -> None:
    inside = data.draw(st.ip_addresses(network=network))
    assert addresses.is_allowed(inside, (network,))
    outside = data.draw(st.ip_addresses(v=network.version))
    if outside not in network:
        assert addresses.is_allowed(outside, (network,)) == addresses.is_public(outside)


@given(
    st.sampled_from(["http", "https", "HTTP"]),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_any_url_is_taken_apart_or_refused_in_words(scheme: str, host: str, rest: str) -> None:
    try:
        target = parse(f"{scheme}://{host}/{rest}", HERE)
    except Refused:
        return
    assert target.host
    assert target.path.startswith("/")
    assert target.path.isascii()
    assert not any(sign in target.path + target.authority for sign in "\r\n \t\0")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0", "[::1]", "[::]"),
        *("[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "localhost."),
        *("user:pw@127.0.0.1", "\uff11\uff12\uff17.0.0.1", "169.254.169.254"),
    ],
)
def test_fault_22_no_way_to_write_this_host_leads_to_it(
    web: Web, tmp_path: Path, host: str
) -> None:
    with pytest.raises(Refused, match=UNREACHABLE):
        get(f"http://{host}:{web.port}/", tmp_path, replace(HERE, allowed_networks=()))
    assert web.seen == []


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.0/30", "data.example.org"])
def test_what_the_administrator_allows_is_fetched(
    web: Web, resolver: Names, tmp_path: Path, allowed: str
) -> None:
    resolver["data.example.org"] = ["127.0.0.1"]
    bounds = replace(HERE, allowed_networks=(allowed,))
    assert get(f"http://data.example.org:{web.port}/a?b=c d", tmp_path, bounds) == b"hello\n"
    [(method, path, headers, _)] = web.seen
    assert (method, path) == ("GET", "/a?b=c%20d")
    assert headers["host"] == f"data.example.org:{web.port}"


def test_fault_22_the_address_that_was_looked_at_is_the_one_connected_to(
    web: Web, resolver: Names, tmp_path: Path
) -> None:
    answers = iter([["127.0.0.1"]])  # a second question would find no answer
    resolver["rebinds.example.org"] = lambda: next(answers)
    assert get(f"http://rebinds.example.org:{web.port}/", tmp_path) == b"hello\n"
    assert next(answers, None) is None


def test_fault_22_of_several_addresses_only_allowed_ones_are_used(
    web: Web, resolver: Names, tmp_path: Path
) -> None:
    resolver["both.example.org"] = ["127.0.0.2", "127.0.0.1"]  # the server listens on the latter
    url = f"http://both.example.org:{web.port}/"
    assert get(url, tmp_path, replace(HERE, allowed_networks=("127.0.0.1",))) == b"hello\n"
    assert get(url, tmp_path, HERE) == b"hello\n"  # the first cannot be reached
    with pytest.raises(Refused, match="cannot be reached"):
        get(url, tmp_path, replace(HERE, allowed_networks=("127.0.0.2",)))
    assert len(web.seen) == 2


def test_a_name_that_is_unknown_and_one_that_is_internal_look_alike(
    resolver: Names, tmp_path: Path
) -> None:
    resolver["db.internal"] = ["10.1.2.3"]
    words = set()
    for name in ("db.internal", "nothing.internal"):
        with pytest.raises(Refused) as caught:
            get(f"http://{name}/", tmp_path)
        words.add(str(caught.value))
    assert words == {UNREACHABLE}


def test_an_interface_of_this_host_is_known_by_its_address() -> None:
    assert resolve.is_of_this_host(ip_address("127.0.0.1"))
    assert not resolve.is_of_this_host(ip_address("8.8.8.8"))
    assert not resolve.is_of_this_host(ip_address("2606:4700::1111"))


def test_a_public_address_of_this_host_is_no_outside_address(
    web: Web, resolver: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only listens inside, behind a firewall, is reached from here by any address of ours."""
    resolver["ours.example.org"] = ["8.8.4.4"]
    nothing = replace(HERE, allowed_networks=())
    monkeypatch.setattr(
        resolve, "is_of_this_host", lambda address: address == ip_address("8.8.4.4")
    )
    for host in ("8.8.4.4", "ours.example.org", "[::ffff:8.8.4.4]", "[2002:808:404::1]"):
        with pytest.raises(Refused, match=UNREACHABLE):
            get(f"http://{host}/", tmp_path, nothing)
        with pytest.raises(Refused, match=UNREACHABLE):
            fetch.check_host(f"http://{host}/", nothing)
        fetch.check_host(f"http://{host}/", replace(HERE, allowed_networks=("8.8.4.0/24",)))


def test_the_service_s_own_host_and_the_site_s_are_no_outside_addresses(
    resolver: Names, tmp_path: Path
) -> None:
    """By whatever name it goes: the front's address need not be one of this host."""
    resolver.update({"wps.example.org": ["8.8.4.4"], "alias.example.org": ["8.8.4.4"]})
    resolver["db.example.org"] = ["1.1.1.7"]
    bounds = replace(
        HERE, allowed_networks=(), blocked_networks=("wps.example.org", "1.1.1.0/24", "9.9.9.9")
    )
    for host in ("wps.example.org", "alias.example.org", "8.8.4.4", "db.example.org", "1.1.1.9"):
        with pytest.raises(Refused, match=UNREACHABLE):
            get(f"http://{host}:8080/", tmp_path, bounds)
    for host in ("WPS.example.org.", "1.1.1.9", "9.9.9.9"):
        with pytest.raises(Refused, match=UNREACHABLE):
            vet(Reference(f"http://{host}/"), bounds)
    for allowed, host in {
        "wps.example.org": "wps.example.org",
        "8.8.4.4": "alias.example.org",
        "1.1.1.7": "db.example.org",
    }.items():
        fetch.check_host(f"http://{host}/", replace(bounds, allowed_networks=(allowed,)))
    fetch.check_host("http://8.8.8.8/", bounds)


def test_the_web_server_tells_the_nodes_what_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host of its URL, whatever that is, and its public addresses: a node has others."""
    known = [SimpleNamespace(address=text) for text in ("127.0.0.1", "8.8.4.4", "fe80::1%lo", "x")]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": known})
    in_web._interfaces.cache_clear()
    with open_service(
        tmp_path,
        server={"url": "https://WPS.example.org.:8443/wps"},
        **{"hpc.inputs": {"blocked_networks": "1.1.1.0/24"}},
    ) as app:
        limits = in_web.bounds(app.settings)
    in_web._interfaces.cache_clear()
    assert set(limits.blocked_networks) == {"1.1.1.0/24", "wps.example.org", "8.8.4.4"}
    for host in ("wps.example.org", "8.8.4.4", "1.1.1.1"):
        with pytest.raises(Refused, match=UNREACHABLE):
            vet(Reference(f"http://{host}/"), Bounds.of(json.loads(json.dumps(vars(limits)))))


# Redirections


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_are_followed(web: Web, tmp_path: Path, status: int) -> None:
    web.answers = {"/a": redirect("/b", status), "/b": redirect("c", status)}
    assert get(f"{web.url}/a", tmp_path) == b"hello\n"
    assert web.paths() == ["/a", "/b", "/c"]


def test_fault_22_redirections_in_a_circle_end(web: Web, tmp_path: Path) -> None:
    web.answers = {"/a": redirect("/b"), "/b": redirect("/a")}
    with pytest.raises(Refused, match="redirects more than 5 times"):
        get(f"{web.url}/a", tmp_path)
    assert len(web.seen) == 6


@pytest.mark.parametrize(
    "to", ["http://localhost:{port}/in", "//[::1]:{port}/", "http://169.254.169.254/latest/"]
)
def test_fault_22_an_allowed_host_cannot_redirect_to_a_forbidden_one(
    web: Web, other: Web, resolver: Names, tmp_path: Path, to: str
) -> None:
    resolver.update({"data.example.org": ["127.0.0.1"], "localhost": ["127.0.0.1"]})
    web.answers["/"] = redirect(to.format(port=other.port))
    with pytest.raises(Refused, match=f"^after a redirection, {UNREACHABLE}$"):
        get(
            f"http://data.example.org:{web.port}/",
            tmp_path,
            replace(HERE, allowed_networks=("data.example.org",)),
        )
    assert web.paths() == ["/"]
    assert other.seen == []


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://[", "gopher:x"])
def test_fault_22_redirections_stay_with_the_schemes(web: Web, tmp_path: Path, to: str) -> None:
    web.answers["/"] = redirect(to)
    with pytest.raises(Refused, match=r"scheme|valid URL"):
        get(f"{web.url}/", tmp_path)


def test_passwords_and_headers_stay_with_the_host_they_are_for(
    web: Web, other: Web, tmp_path: Path
) -> None:
    web.answers["/"] = redirect(f"{other.url}/x")
    url = f"http://me:{SECRET}@127.0.0.1:{web.port}/"
    get(Reference(url, headers=(("X-Token", SECRET),)), tmp_path)
    first, second = web.seen[0][2], other.seen[0][2]
    assert (first["x-token"], first["authorization"]) == (SECRET, "Basic bWU6aHVudGVyMg==")
    assert not {"x-token", "authorization"} & set(second)


def test_a_password_in_a_url_is_in_no_message(web: Web, tmp_path: Path) -> None:
    web.answers["/gone"] = content(b"", 404)
    for rest in (f"@127.0.0.1:{web.port}/gone", "@127.0.0.1:1/", "@127.0.0.1:99999/", "@10.0.0.1/"):
        with pytest.raises(Refused) as caught:
            get(f"http://me:{SECRET}{rest}", tmp_path)
        assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))
        assert "127.0.0.1" not in str(caught.value)


# Schemes, methods, headers


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/x", "gopher://a/", "data:,x", "//host/x", "x", ""]
)
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(Refused, match="scheme is not supported"):
        vet(Reference(url), HERE)
    with pytest.raises(Refused, match="scheme is not supported"):
        vet(Reference("http://8.8.8.8/"), replace(HERE, schemes=("https",)))


@pytest.mark.parametrize(
    "url", ["http://a\r\nHost: b/", "http://", "http://a b/", "http://h:x/", "http://a/\ud800"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="not a valid URL"):
        vet(Reference(url), HERE)


@pytest.mark.parametrize(
    "header",
    [
        *(("Host", "internal"), ("Content-Length", "5"), ("transfer-encoding", "chunked")),
        *(("Proxy-Authorization", "x"), ("X", "a\r\nY: b"), ("X Y", "a"), ("", "a"), ("X", "Ж")),
    ],
)
def test_a_header_that_is_ours_or_malformed_is_refused(header: tuple[str, str]) -> None:
    vet(Reference("http://8.8.8.8/", headers=(("X-Fine", "yes"),)), HERE)
    with pytest.raises(Refused, match="header"):
        vet(Reference("http://8.8.8.8/", headers=(header,)), HERE)


def test_a_body_that_is_no_text_is_refused() -> None:
    with pytest.raises(Refused, match="not text"):
        vet(Reference("http://8.8.8.8/", body="\ud800"), HERE)


def test_a_body_is_posted_and_may_itself_be_fetched(web: Web, tmp_path: Path) -> None:
    web.answers["/body"] = content(b"<fetched/>")
    headers = (("content-type", "application/json"), ("Accept", "text/csv"))
    get(Reference(f"{web.url}/", headers=headers, body="{}"), tmp_path)
    get(Reference(f"{web.url}/", body_url=f"{web.url}/body"), tmp_path)
    posts = [(h["content-type"], h["accept"], body) for m, _, h, body in web.seen if m == "POST"]
    assert posts == [("application/json", "text/csv", b"{}"), ("text/xml", "*/*", b"<fetched/>")]


def test_fault_22_a_body_is_not_fetched_from_where_an_input_is_not(
    web: Web, other: Web, resolver: Names, tmp_path: Path
) -> None:
    bounds = replace(HERE, allowed_networks=("data.example.org",))
    resolver["data.example.org"] = ["127.0.0.1"]
    reference = Reference(f"http://data.example.org:{web.port}/", body_url=f"{other.url}/body")
    with pytest.raises(Refused, match=UNREACHABLE):
        vet(reference, bounds)
    with pytest.raises(Refused, match=UNREACHABLE):
        get(reference, tmp_path, bounds)
    assert web.seen == other.seen == []


@pytest.mark.parametrize("status", [204, 206, 304, 400, 404, 500, 599])
def test_an_error_page_is_not_an_input(web: Web, tmp_path: Path, status: int) -> None:
    web.answers["/"] = content(b"" if status in (204, 304) else b"sorry", status)
    if status == 204:
        assert get(f"{web.url}/", tmp_path) == b""
        return
    with pytest.raises(Refused, match=f"HTTP status {status}"):
        get(f"{web.url}/", tmp_path)


# Bytes


def test_what_says_that_it_is_too_large_is_not_read(web: Web, tmp_path: Path) -> None:
    web.answers["/"] = drip(b"x", 0, head=OK_HEAD[:-2] + b"Content-Length: 1048577\r\n\r\n")
    with pytest.raises(TooLarge, match="more than the 1 MB that are allowed"):
        get(f"{web.url}/", tmp_path)
    web.answers["/"] = content(b"x" * (1 << 20))
    assert len(get(f"{web.url}/", tmp_path)) == 1 << 20


def test_fault_22_what_never_ends_is_given_up(web: Web, tmp_path: Path) -> None:
    web.answers["/"] = drip(b"x" * 5000, 0, head=OK_HEAD)
    with pytest.raises(TooLarge):
        get(f"{web.url}/", tmp_path)


def test_compressed_content_counts_as_what_it_becomes(web: Web, tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * (200 << 20))
    assert len(bomb) < 1 << 20
    web.answers["/bomb"] = content(bomb, Content_Encoding="gzip")
    with pytest.raises(TooLarge):
        get(f"{web.url}/bomb", tmp_path)
    text = os.urandom(300_000) + b"a" * 300_000
    two = gzip.compress(text[:1000]) + gzip.compress(text[1000:])
    web.answers["/fine"] = content(two, Content_Encoding="x-gzip")
    assert get(f"{web.url}/fine", tmp_path) == text
    web.answers["/cut"] = content(two[:-9], Content_Encoding="gzip")
    with pytest.raises(Refused, match="early"):
        get(f"{web.url}/cut", tmp_path)
    web.answers["/not"] = content(b"plain", Content_Encoding="gzip")
    with pytest.raises(Refused, match="damaged"):
        get(f"{web.url}/not", tmp_path)
    web.answers["/br"] = content(b"x", Content_Encoding="br")
    with pytest.raises(Refused, match="not supported"):
        get(f"{web.url}/br", tmp_path)


@pytest.mark.parametrize("chunked", [False, True])
def test_half_a_file_is_no_file(web: Web, tmp_path: Path, chunked: bool) -> None:
    def answer(handler: Any) -> None:
        kind = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100"
        body = b"64\r\nhalf" if chunked else b"half"
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n\r\n" + body)

    web.answers["/"] = answer
    with pytest.raises(Refused, match="closed the connection early"):
        get(f"{web.url}/", tmp_path)


# Time


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the time for an input be over at once."""
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(passed))
    monkeypatch.setattr(deadline, "time", clock)
    return lambda: passed.append(HERE.total_timeout)


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"x", 0.1, head=OK_HEAD),
        drip(b"X-More: x\r\n", 0.1, head=b"HTTP/1.1 200 OK\r\n"),
        drip(b"x", 0.1, head=b"HTTP/1.1 200 OK\r\nX: "),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n", 0.1),
        drip(b"", 0.1),
    ],
    ids=["body", "headers", "one header", "continue", "silence"],
)
def test_fault_22_a_slow_server_is_given_up(
    web: Web, tmp_path: Path, answer: Callable[[Any], None], pass_time: Callable[[], None]
) -> None:
    def slowly(handler: Any) -> None:
        threading.Timer(0.5, pass_time).start()
        answer(handler)

    web.answers["/"] = slowly
    with pytest.raises(Refused, match="did not arrive within 600 seconds"):
        get(f"{web.url}/", tmp_path)


def test_a_silent_server_is_given_up_before_its_time_is_over(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers["/"] = drip(b"", 0.1)
    here = [ip_address("127.0.0.1")]  # the resolver is given up in other words
    monkeypatch.setattr(resolve, "resolve", lambda host, port, timeout: here)
    with pytest.raises(Refused, match="does not answer in time"):
        get(f"{web.url}/", tmp_path, replace(HERE, timeout=0.5, total_timeout=3600))


def test_a_resolver_that_does_not_answer_is_given_up(resolver: Names, tmp_path: Path) -> None:
    release = threading.Event()
    resolver["slow.example.org"] = lambda: ["127.0.0.1"] * release.wait(60)
    with pytest.raises(Refused, match=UNREACHABLE):
        get("http://slow.example.org/", tmp_path, replace(HERE, timeout=0.3))
    release.set()


def test_whoever_no_longer_wants_an_input_stops_it(web: Web, tmp_path: Path) -> None:
    web.answers["/"] = drip(b"", 0.1, head=OK_HEAD)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        fetch.fetch(Reference(f"{web.url}/"), HERE, tmp_path / "x", stop.is_set)


# TLS and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for data.example.org that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=data.example.org", "-addext", "subjectAltName=DNS:data.example.org"),
            *("-keyout", str(key), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[tuple[Web, list[str | None]]]:
    """A server with that certificate, and the names that clients asked for."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    for web in serve(Web(), context):
        yield web, names


def test_tls_keeps_the_name_though_the_connection_goes_to_an_address(
    secure: tuple[Web, list[str | None]],
    certificate: tuple[Path, Path],
    resolver: Names,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web, names = secure
    resolver.update({"data.example.org": ["127.0.0.1"], "evil.example.org": ["127.0.0.1"]})
    with pytest.raises(Refused, match="certificate of its server is not valid"):
        get(f"https://data.example.org:{web.port}/", tmp_path)
    monkeypatch.setattr(certifi, "where", lambda: str(certificate[0]))
    assert get(f"https://data.example.org:{web.port}/", tmp_path) == b"hello\n"
    with pytest.raises(Refused, match="certificate of its server is not valid"):
        get(f"https://evil.example.org:{web.port}/", tmp_path)
    assert names == ["data.example.org", "data.example.org", "evil.example.org"]
    assert web.seen[0][2]["host"] == f"data.example.org:{web.port}"


def test_a_handshake_that_never_ends_is_given_up(
    tmp_path: Path, pass_time: Callable[[], None]
) -> None:
    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            threading.Timer(0.5, pass_time).start()
            with contextlib.suppress(OSError):
                self.request.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB begins
                while True:
                    self.request.sendall(b"\0")
                    time.sleep(0.1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(Refused, match="did not arrive within 600 seconds"):
            get(f"https://127.0.0.1:{server.server_address[1]}/", tmp_path)
        server.shutdown()


def test_proxies_of_the_environment_do_not_count(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(f"{web.url}/", tmp_path) == b"hello\n"


def test_the_administrator_s_proxy_is_asked_but_not_for_this_host(
    web: Web, tmp_path: Path, resolver: Names
) -> None:
    through = replace(HERE, proxy=f"http://127.0.0.1:{web.port}", allowed_networks=())
    assert get("http://only-the-proxy-knows.example.org/a", tmp_path, through) == b"hello\n"
    assert web.paths() == ["http://only-the-proxy-knows.example.org/a"]
    resolver["sly.example.org"] = ["8.8.8.8", "10.0.0.1"]
    for host in ("127.0.0.1", "10.0.0.1", "sly.example.org"):
        with pytest.raises(Refused, match=UNREACHABLE):
            get(f"http://{host}/", tmp_path, through)
    assert len(web.seen) == 1


# Files


def test_fault_20_only_files_in_an_allowed_folder_are_inputs(tmp_path: Path) -> None:
    for folder in ("ok", "ok_secret", "ok/sub dir", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file.txt").write_text("x")
    (tmp_path / "ok" / "link.txt").symlink_to(tmp_path / "ok_secret" / "file.txt")
    (tmp_path / "ok" / "up").symlink_to("..")
    (tmp_path / "ok" / "inner.txt").symlink_to("sub dir/file.txt")
    (tmp_path / "ok" / "loop").symlink_to("loop")
    (tmp_path / "alias").symlink_to("ok")
    ok = tmp_path / "ok"
    bounds = Bounds(folders=(str(ok),))

    def find(rest: str, limits: Bounds = bounds) -> Path:
        return local_file(f"file://{tmp_path}/{rest}", limits)

    assert find("ok/file.txt") == ok / "file.txt"
    assert find("ok/sub%20dir/file.txt") == ok / "sub dir" / "file.txt"
    assert find("ok/inner.txt") == ok / "sub dir" / "file.txt"
    assert find("ok/../ok/file.txt") == ok / "file.txt"
    # An allowed folder that is itself a link: the job is shown it under the name that was given.
    alias = Bounds(folders=(str(tmp_path / "alias"),))
    assert find("ok/file.txt", alias) == tmp_path / "alias" / "file.txt"
    for rest in (
        *("ok_secret/file.txt", "ok/../ok_secret/file.txt", "ok/link.txt", "elsewhere/file.txt"),
        *("ok/up/elsewhere/file.txt", "ok/%2e%2e/elsewhere/file.txt", "ok/file.txt%00", ""),
    ):
        with pytest.raises(Refused, match=r"^File URL not supported as input\.$"):
            find(rest)
    for url in (f"file://host{ok}/file.txt", "file:relative", f"file:{tmp_path}/elsewhere"):
        with pytest.raises(Refused):
            local_file(url, bounds)
    with pytest.raises(Refused):
        find("ok/file.txt", replace(bounds, schemes=("http", "https")))
    with pytest.raises(Refused):
        find("ok/file.txt", Bounds())


# Staging by the server


def note(folder: Path, *urls: str, bounds: Bounds = HERE) -> JobDir:
    job = JobDir(folder / new_id())
    job.path.mkdir()
    references = [
        {"input": "dataset", "url": url, "headers": [], "body": None, "body_url": ""}
        for url in urls
    ]
    job.references.write_text(json.dumps({"bounds": vars(bounds), "references": references}))
    return job


def test_staging_goes_on_where_it_was_killed(web: Web, tmp_path: Path) -> None:
    job = note(tmp_path, f"{web.url}/a", f"{web.url}/b")
    web.answers["/b"] = content(b"", 500)
    stop = threading.Event()
    assert "input dataset: its server answered with HTTP status 500" in stage(job, stop)
    del web.answers["/b"]
    assert stage(job, stop) == ""
    assert web.paths() == ["/a", "/b", "/b"]
    assert sorted(os.listdir(job.fetched)) == ["0", "1"]
    assert not job.references.exists()
    assert stage(job, stop) == ""  # killed before the row was moved


# The whole service

SECTIONS = {
    "server": {"maxrequestsize": "1mb"},
    "hpc": {"slots": 4},
    "hpc.inputs": {
        "allowed_networks": "127.0.0.0/8",
        "max_bytes": "100K",
        "max_inputs": 4,
        "timeout": 120,
        "total_timeout": 600,
    },
}


@pytest.fixture(scope="module")
def staging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    """A service whose dispatcher fetches, one job's inputs at a time."""
    own = SECTIONS["hpc.inputs"] | {"fetch": "server", "downloads": 1}
    sections = SECTIONS | {"hpc.inputs": own}
    with HpcServer(tmp_path_factory.mktemp("staging"), sections=sections) as server:
        yield server


@pytest.fixture(params=["node", "server"])
def service(
    request: pytest.FixtureRequest, hpc_server: HpcServer, staging_server: HpcServer
) -> HpcServer:
    """Either."""
    return hpc_server if request.param == "node" else staging_server


def referring(*references: dict[str, Any], asynchronous: bool = True) -> bytes:
    """An Execute of ``files`` with inputs by reference.

    Args:
        references: with ``href``, and perhaps ``method``, ``headers``, ``body``, ``body_href``.
    """
    root = etree.fromstring(client.execute_document("files", asynchronous=asynchronous))
    holder = root.find("wps:DataInputs", NS)
    assert holder is not None
    for entry in references:
        item = etree.SubElement(holder, f"{{{WPS}}}Input")
        etree.SubElement(item, f"{{{OWS}}}Identifier").text = "file"
        element = etree.SubElement(item, f"{{{WPS}}}Reference", mimeType="text/plain")
        element.set(f"{{{XLINK}}}href", entry["href"])
        element.set("method", entry.get("method", "GET"))
        for key, value in entry.get("headers", ()):
            etree.SubElement(element, f"{{{WPS}}}Header", key=key, value=value)
        if "body" in entry:
            etree.SubElement(element, f"{{{WPS}}}Body").append(etree.fromstring(entry["body"]))
        if "body_href" in entry:
            body = etree.SubElement(element, f"{{{WPS}}}BodyReference")
            body.set(f"{{{XLINK}}}href", entry["body_href"])
    return bytes(etree.tostring(root))


def location(answer: client.Answer) -> str:
    assert answer.status == 200, answer.content
    return str(etree.fromstring(answer.content).get("statusLocation"))


def refusal(answer: client.Answer) -> tuple[str, str, str]:
    """Code, locator and words of an exception report."""
    assert answer.status == 400, (answer.status, answer.content)
    [exception] = etree.fromstring(answer.content).iter(f"{{{OWS}}}Exception")
    text = "".join(str(part) for part in exception.itertext()).strip()
    return str(exception.get("exceptionCode")), str(exception.get("locator")), text


def failure(document: bytes) -> str:
    """The words of a failed job."""
    assert client.state_of(document) == "ProcessFailed", document
    return " ".join(str(part) for part in etree.fromstring(document).itertext()).strip()


def test_references_are_fetched_with_headers_and_bodies(service: HpcServer, web: Web) -> None:
    web.answers["/body"] = content(b"<fetched/>")
    web.answers["/hello.txt"] = content(b"hello by GET")
    document = referring(
        {"href": f"{web.url}/hello.txt", "headers": [("X-Token", SECRET)]},
        {"href": f"{web.url}/post", "method": "POST", "body": "<inline>1</inline>"},
        {"href": f"{web.url}/post", "method": "POST", "body_href": f"{web.url}/body"},
    )
    ended = client.await_end(location(client.send(service.url, document)))
    assert client.state_of(ended) == "ProcessSucceeded", ended
    result = client.outputs_of(ended)["result"].content
    assert result == "12 b'hello by GET'|6 b'hello\\n'|6 b'hello\\n'"
    assert web.seen[0][2]["x-token"] == SECRET
    posted = [body for method, _, _, body in web.seen if method == "POST"]
    assert len(posted) == 2
    assert etree.fromstring(posted[0]).text == "1"
    assert posted[1] == b"<fetched/>"


def test_fault_22_accepting_does_not_wait_for_a_download(service: HpcServer, web: Web) -> None:
    release = threading.Event()

    def wait(handler: Any) -> None:
        release.wait(HERE.timeout)
        content(b"late")(handler)

    web.answers["/slow"] = wait
    where = location(client.send(service.url, referring({"href": f"{web.url}/slow"})))
    # The download is under way, the service answers, and other jobs run meanwhile.
    wait_for(lambda: web.seen, "the download begins")
    other = client.execute_async(service.url, "files", [("file", client.Complex("inline"))])
    assert client.state_of(other) == "ProcessSucceeded"
    assert client.state_of(client.get(where).content) in ("ProcessAccepted", "ProcessStarted")
    release.set()
    ended = client.await_end(where)
    assert client.outputs_of(ended)["result"].content == "4 b'late'"


def test_fault_22_nothing_is_fetched_beyond_its_bounds(service: HpcServer, web: Web) -> None:
    web.answers["/endless"] = drip(b"x" * 5000, 0, head=OK_HEAD)
    web.answers["/gone"] = content(b"sorry", 404)
    web.answers["/in"] = redirect("http://10.255.255.1/")
    for path, words in {
        "/endless": "input file: it has more than the 100 KB that are allowed",
        "/gone": "input file: its server answered with HTTP status 404",
        "/in": f"input file: after a redirection, {UNREACHABLE}",
    }.items():
        where = location(client.send(service.url, referring({"href": web.url + path})))
        assert words in failure(client.await_end(where))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"href": "ftp://127.0.0.1/x"}, "its URL scheme is not supported"),
        ({"href": "http://169.254.169.254/latest"}, UNREACHABLE),
        ({"href": "http://[fd00:ec2::254]/"}, UNREACHABLE),
        ({"href": "http://["}, "not a valid URL"),
        ({"href": "http://8.8.8.8/", "method": "DELETE"}, "neither GET nor POST"),
        ({"href": "http://8.8.8.8/", "method": "POST"}, "needs a body"),
        ({"href": "http://8.8.8.8/", "headers": [("Host", "x")]}, "header that cannot be sent"),
        (
            {"href": "http://8.8.8.8/", "method": "POST", "body_href": "http://10.0.0.1/"},
            UNREACHABLE,
        ),
    ],
)
def test_fault_22_what_can_never_be_fetched_is_refused_at_once(
    hpc_server: HpcServer, entry: dict[str, Any], words: str
) -> None:
    before = len(hpc_server.rows())
    code, locator, text = refusal(client.send(hpc_server.url, referring(entry)))
    assert (code, locator) == ("InvalidParameterValue", "file")
    assert words in text
    assert len(hpc_server.rows()) == before


@pytest.mark.parametrize("mimetype", ["application/x-ogc-dods", "application/x-netcdf"])
def test_an_address_that_a_process_opens_itself_is_looked_at(
    staging_server: HpcServer, hpc_server: HpcServer, web: Web, mimetype: str
) -> None:
    """As OPeNDAP's are: by name, which only the node can look up."""

    def run(server: HpcServer, href: str) -> bytes:
        reference = client.Reference(href, mimetype)
        return client.execute_async(server.url, "dataset", [("dataset", reference)])

    fine = run(hpc_server, f"{web.url}/x")
    assert client.outputs_of(fine)["result"].content == "6"
    for server in (hpc_server, staging_server):
        for href in (
            f"http://10.255.255.1:{web.port}/",
            "dods://127.0.0.1/x",
            "file:///etc/passwd",
        ):
            answer = client.send(
                server.url,
                client.execute_document(
                    "dataset", [("dataset", client.Reference(href, mimetype))], asynchronous=True
                ),
            )
            assert refusal(answer)[0] in ("InvalidParameterValue", "FileURLNotSupported")
        words = failure(run(server, "http://0xa.255.255.1/x"))
        assert f"input dataset: {UNREACHABLE}" in words


def test_fault_22_the_web_server_itself_fetches_nothing(hpc_server: HpcServer, web: Web) -> None:
    href = f"{web.url}/x"
    posted = {"type": "reference", "href": href, "method": "POST", "bodyreference": href}
    # What PyWPS makes of this while it reads: an input with a validator that opens it.
    eager = {"type": "complex", "href": href, "mode": 3, "data_format": {"mime_type": "text/xml"}}
    folder = hpc_server.folder / "made"
    for given_ in (posted, eager, {"type": "literal", "data": "x", "workdir": str(folder)}):
        request = {"identifier": "nobody", "inputs": {"file": given_}}
        assert client.send_json(hpc_server.url, request).status == 400
    assert web.seen == []
    assert not folder.exists()


def test_fault_20_only_allowed_files_reach_a_job(service: HpcServer) -> None:
    inputs = service.folder / "inputs"
    secret = service.folder / "inputs_secret"
    secret.mkdir(exist_ok=True)
    (secret / "file.txt").write_text("secret")
    (inputs / "file with space.txt").write_text("fine")
    (inputs / "link.txt").unlink(missing_ok=True)
    (inputs / "link.txt").symlink_to(secret / "file.txt")
    fine = {"href": (inputs / "file with space.txt").as_uri()}
    ended = client.await_end(location(client.send(service.url, referring(fine))))
    assert client.outputs_of(ended)["result"].content == "4 b'fine'"
    for path in (secret / "file.txt", inputs / "link.txt", inputs / ".." / "inputs_secret"):
        answer = client.send(service.url, referring({"href": f"file://{path}"}))
        assert refusal(answer)[0] == "FileURLNotSupported"


def test_fault_20_a_file_that_changes_into_a_link_does_not_reach_a_job(
    hpc_server: HpcServer,
) -> None:
    secret = hpc_server.folder / "later"
    secret.write_text("secret")
    late = hpc_server.folder / "inputs" / "late.txt"  # is not there when the job is accepted
    late.unlink(missing_ok=True)
    where = location(client.send(hpc_server.url, referring({"href": late.as_uri()})))
    late.symlink_to(secret)
    text = failure(client.await_end(where))
    assert "input file: " in text
    assert str(hpc_server.folder) not in text


def test_dismissing_a_job_ends_its_download(staging_server: HpcServer, web: Web) -> None:
    web.answers["/slow"] = drip(b"x", 0.2, head=OK_HEAD)
    where = location(client.send(staging_server.url, referring({"href": f"{web.url}/slow"})))
    job_id = where.rpartition("/")[2]
    wait_for(lambda: web.seen, "the download begins")
    assert (staging_server.row(job_id) or {})["state"] == "staging"
    assert b"; its inputs are being fetched" in client.get(where).content
    # The only download that may run is this one: the next has to wait for its end.
    following = location(client.send(staging_server.url, referring({"href": f"{web.url}/x"})))
    assert staging_server.cli("cancel", job_id).returncode == 0
    assert client.state_of(client.await_end(following)) == "ProcessSucceeded"
    assert (staging_server.row(job_id) or {})["state"] == "dismissed"
    assert not staging_server.job(job_id).inputs.exists()


def test_a_dispatcher_that_is_killed_while_it_fetches_loses_nothing(
    staging_server: HpcServer, web: Web
) -> None:
    release = threading.Event()

    def wait(handler: Any) -> None:
        release.wait(HERE.timeout)
        content(b"late")(handler)

    web.answers["/second"] = wait
    document = referring({"href": f"{web.url}/first"}, {"href": f"{web.url}/second"})
    where = location(client.send(staging_server.url, document))
    wait_for(lambda: "/second" in web.paths(), "the second download begins")
    staging_server.kill9("dispatcher")
    release.set()
    ended = client.await_end(where)
    assert client.outputs_of(ended)["result"].content == "6 b'hello\\n'|4 b'late'"
    assert web.paths() == ["/first", "/second", "/second"]
    job = staging_server.job(where.rpartition("/")[2])
    wait_for(lambda: not job.inputs.exists(), "the inputs are removed")
    assert not job.references.exists()


# Outputs


def test_an_output_that_the_node_cannot_reach_fails_no_job(hpc_server: HpcServer, web: Web) -> None:
    """The client may have the login that the node has not, or be where it is allowed."""
    web.answers["/open"] = content(b"four")
    web.answers["/closed"] = content(b"no", 403)
    here, closed = f"{web.url}/open", f"{web.url}/closed"
    for addresses_ in ([here, closed], [closed, here], ["http://10.255.255.1/a"], ["http://[/a"]):
        inputs = [("address", address) for address in addresses_]
        ended = client.execute_async(hpc_server.url, "elsewhere", inputs)
        assert client.state_of(ended) == "ProcessSucceeded", ended
        collection, own = etree.fromstring(ended).iterfind(".//wps:ProcessOutputs/wps:Output", NS)
        link = "".join(map(str, collection.itertext()))
        assert all(f">{address}<" in link for address in addresses_), link
        assert ("<size>4</size>" in link) == (here in addresses_)
        reference = own.find("wps:Reference", NS)
        if addresses_[0] == here:
            assert own.findtext("wps:Data/wps:ComplexData", namespaces=NS) == "four"
        else:
            assert reference is not None
            assert reference.get("href") == addresses_[0]


def test_asking_for_the_sizes_of_outputs_has_an_end(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(
        references,
        "time",
        SimpleNamespace(monotonic=lambda: clock.append(clock[-1] + 25) or clock[-1]),
    )
    references.install(HERE, JobDir(tmp_path))
    sizes = []
    for _ in range(5):
        file = MetaFile("x", "x", fmt=Format("text/plain"))
        file.url = f"{web.url}/x"
        sizes.append(file.size)
    assert sizes == [6, 6, 6, 0, 0]
    assert len(web.seen) == 3


# Requests


def test_request_with_more_inputs_than_allowed_is_refused(hpc_server: HpcServer) -> None:
    five = [("file", client.Complex("x"))] * 5
    code, locator, text = refusal(
        client.send(hpc_server.url, client.execute_document("files", five))
    )
    assert (code, locator) == ("InvalidParameterValue", "DataInputs")
    assert text == "The request has 5 inputs; at most 4 are allowed."
    assert client.execute_sync(hpc_server.url, "files", five[:4]).status == 200


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        "<!DOCTYPE x>",
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_type_declarations_are_refused(
    hpc_server: HpcServer, doctype: str, encoding: str
) -> None:
    plain = client.execute_document("files", [("file", client.Complex("x"))])
    body = etree.tostring(etree.fromstring(plain), encoding="unicode")
    whole = f'<?xml version="1.0" encoding="{encoding}"?>\n{doctype}\n{body}'.encode(encoding)
    _, _, text = refusal(client.send(hpc_server.url, whole))
    assert text == "A document type declaration (DOCTYPE) is not allowed."


def test_limit_of_a_request_holds_without_a_length(hpc_server: HpcServer) -> None:
    def send(text: str) -> client.Answer:
        document = client.execute_document("files", [("file", client.Complex(text))])
        pieces = (document[at : at + 50_000] for at in range(0, len(document), 50_000))
        answer = HTTP.post(hpc_server.url, data=pieces, headers={"Content-Type": "text/xml"})
        return client.Answer(answer.status_code, answer.headers, answer.content)

    assert send("x" * 100_000).status == 200
    code, _, text = refusal(send("x" * ((1 << 20) + 1)))
    assert (code, text) == (
        "FileSizeExceeded",
        "The request is larger than the 1 MB that are allowed.",
    )
    assert refusal(client.send(hpc_server.url, b" " * ((1 << 20) + 1)))[0] == "FileSizeExceeded"
