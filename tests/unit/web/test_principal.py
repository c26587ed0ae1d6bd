"""Who sends a request, and who is believed to say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pywps.exceptions import NoApplicableCode
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from pywps_hpc.settings import Settings, SettingsError, build
from pywps_hpc.web import principal
from pywps_hpc.web.principal import Principal

PLAIN = Settings(Path("/spool"))
BEHIND = Settings(
    Path("/spool"),
    user_header="X-Remote-User",
    trusted_proxies=("10.1.0.0/16", "2001:db8::7"),
    administrators=("root", "müller"),
)
SOCKET = Settings(Path("/spool"), user_header="X-Remote-User", trusted_proxies=("unix",))


def request(peer: str = "192.0.2.9", **environ: Any) -> Request:
    return Request(EnvironBuilder(environ_base={"REMOTE_ADDR": peer, **environ}).get_environ())


def named(header: str, peer: str) -> Request:
    return request(peer, HTTP_X_REMOTE_USER=header)


def test_the_servers_account_is_believed() -> None:
    assert principal.of(PLAIN, request(REMOTE_USER="anna")) == Principal("anna")
    assert principal.of(PLAIN, request()) == Principal()
    assert principal.of(BEHIND, request(REMOTE_USER="anna", HTTP_X_REMOTE_USER="root")).name == (
        "anna"
    )


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"])
def test_a_trusted_proxys_header_is_believed(peer: str) -> None:
    assert principal.of(BEHIND, named("anna", peer)) == Principal("anna")


@pytest.mark.parametrize("peer", ["10.2.0.1", "2001:db8::8", "", "unix", "10.1.2.3, 10.2.0.1"])
def test_nobody_elses_header_is_believed(peer: str) -> None:
    forwarded = request(peer, HTTP_X_REMOTE_USER="root", HTTP_X_FORWARDED_FOR="10.1.2.3")
    assert principal.of(BEHIND, forwarded) == Principal()
    assert principal.of(PLAIN, named("root", "10.1.2.3")) == Principal()


def test_a_unix_socket_is_trusted_by_its_name_alone() -> None:
    assert principal.of(SOCKET, named("anna", "")) == Principal("anna")
    assert principal.of(SOCKET, named("anna", "127.0.0.1")) == Principal()


@pytest.mark.parametrize(("peer", "name"), [("10.1.2.3", "anna"), ("192.0.2.9", "")])
def test_the_peer_is_that_of_the_connection_whatever_address_a_proxy_tells(
    peer: str, name: str
) -> None:
    seen: list[Principal] = []

    def application(environ: Any, start: Any) -> list[bytes]:
        seen.append(principal.of(BEHIND, Request(environ)))
        return []

    told = "10.1.2.3" if peer != "10.1.2.3" else "192.0.2.9"
    asked = request(peer, HTTP_X_REMOTE_USER="anna", HTTP_X_FORWARDED_FOR=told)
    ProxyFix(application)(asked.environ, lambda *_: None)
    assert seen == [Principal(name)]


def test_administrators_are_known_by_their_exact_names() -> None:
    for told in ("root", "müller".encode().decode("latin-1"), "müller"):
        assert principal.of(BEHIND, request(REMOTE_USER=told)).is_administrator
    for told in ("Root", "roo", "", "root2"):
        assert not principal.of(BEHIND, request(REMOTE_USER=told)).is_administrator


@pytest.mark.parametrize("nobody", ["", " ", "(null)"])
def test_what_a_proxy_sends_for_nobody_is_nobody(nobody: str) -> None:
    assert principal.of(BEHIND, named(nobody, "10.1.2.3")) == Principal()


@pytest.mark.parametrize("strange", ["anna,root", "root, anna", "a\x00b", "a\u202eb", "a" * 256])
def test_a_name_that_is_not_one_account_is_refused(strange: str) -> None:
    with pytest.raises(NoApplicableCode) as refused:
        principal.of(BEHIND, named(strange, "10.1.2.3"))
    assert refused.value.code == 400
    assert strange not in str(refused.value.description)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("user_header", "X-Remote-User", "trusted_proxies: is missing"),
        ("accel_location", "/birds-spool/", "trusted_proxies: is missing"),
        ("accel_location", "/birds spool/", "is not a location"),
        ("accel_location", "birds-spool/", "is not a location"),
        ("accel_location", "/birds-spool", "is not a location"),
        ("accel_location", "/a/../etc/", "is not a location"),
        ("user_header", "X_Remote_User", "is not the name of a header"),
        ("trusted_proxies", "proxy.example.org", "is neither a network nor an address"),
        ("trusted_proxies", "10.1.2.3/8", "host bits set"),
    ],
)
def test_settings_by_which_nobody_or_everybody_could_be_believed_are_refused(
    key: str, value: str, problem: str, tmp_path: Path
) -> None:
    sections = {"hpc": {"spool": str(tmp_path), key: value}, "hpc.container": {"runtime": "none"}}
    with pytest.raises(SettingsError, match=problem):
        build(sections, "pywps.cfg")


def test_names_of_administrators_are_taken_as_they_are(tmp_path: Path) -> None:
    names = "Anna, ben smith\ncarl@example.org"
    sections = {"hpc": {"spool": str(tmp_path), "administrators": names}}
    own = build(sections | {"hpc.container": {"runtime": "none"}}, "pywps.cfg")
    assert own.administrators == ("Anna", "ben smith", "carl@example.org")
