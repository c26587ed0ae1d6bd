"""Certificates and proxies: the name counts though an address is connected to."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import certifi
import pytest

from joblauncher.inputs.policy import (
    Refused,
)
from web_answers import HERE, Names, Web, get, serve

UNREACHABLE = "its host is unknown or not allowed"


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
