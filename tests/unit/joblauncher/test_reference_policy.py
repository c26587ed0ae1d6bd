"""Which references may be followed: told from what a client says, without asking anybody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblauncher.inputs.hosts import vet
from joblauncher.inputs.policy import (
    Bounds,
    Reference,
    Refused,
    local_file,
    parse,
)
from web_answers import HERE

UNREACHABLE = "its host is unknown or not allowed"


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


@pytest.mark.parametrize("host", ["[fe80::1%eth0]", "[fe80::1%25eth0]", "[::1%25lo]"])
def test_an_address_with_a_zone_is_no_url(host: str) -> None:
    """A zone is this host's own affair (RFC 6874, section 1)."""
    with pytest.raises(Refused, match="not a valid URL"):
        vet(Reference(f"http://{host}/"), HERE)
    with pytest.raises(Refused, match="not a valid URL"):
        parse(f"http://{host}/", HERE)


def test_an_address_of_version_6_stands_in_brackets() -> None:
    """RFC 9110, section 7.2."""
    target = parse("http://[2606:4700::1111]:8080/", HERE)
    assert (target.host, target.authority) == ("2606:4700::1111", "[2606:4700::1111]:8080")
