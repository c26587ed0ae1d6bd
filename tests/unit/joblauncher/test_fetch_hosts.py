"""Which hosts an input is fetched from, by whatever name and over whatever redirection.

All servers are real ones on this host, which fetching is allowed to reach where a test says so.
Names are made up by a resolver of the test's own.
"""

from __future__ import annotations

import traceback
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from joblauncher.inputs import fetch, resolve
from joblauncher.inputs.hosts import vet
from joblauncher.inputs.policy import (
    Reference,
    Refused,
)
from web_answers import HERE, Names, Web, content, get, redirect

UNREACHABLE = "its host is unknown or not allowed"

SECRET = "hunter2"


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
