"""People log in with OpenID Connect: an identity provider, and Apache as docs/login.md has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from places import ROOT
from servers import HpcServer, free_port, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("none")]  # which brings Apache
PAGE = ROOT / "docs/login.md"
MODULES = (
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "headers",
    "proxy",
    "proxy_http",
    "auth_openidc",
)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an identity provider that takes anybody's word for who he is."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    with (tmp_path_factory.mktemp("provider") / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: _answers(f"{url}/.well-known/openid-configuration"), "the provider")
            yield url
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def site(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The public address of a service behind Apache."""
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("login")
    hpc = {"user_header": "X-Remote-User", "trusted_proxies": "127.0.0.1"}
    server = {"url": f"{public}/birds/wps", "outputurl": f"{public}/birds/outputs/"}
    with HpcServer(folder, sections={"hpc": hpc, "server": server}) as service:
        moved = {
            "https://login.example.org": provider,
            "https://wps.example.org": public,
            "http://127.0.0.1:5000": service.base,
        }
        with apache(folder, port, moved):
            wait_for(lambda: _answers(f"{public}/birds/wps"), "Apache")
            yield f"{public}/birds"


class apache:  # noqa: N801  (a context)
    """Apache with the page's configuration, but for addresses."""

    def __init__(self, folder: Path, port: int, moved: dict[str, str]) -> None:
        text = PAGE.read_text(encoding="utf-8")
        (block,) = re.findall(r"```apache\n(.*?)```", text, re.DOTALL)
        for written, real in moved.items():
            assert written in block
            block = block.replace(written, real)
        lines = [
            "ServerRoot /usr/lib/apache2",
            "ServerName localhost",
            f"Listen 127.0.0.1:{port}",
            f"PidFile {folder}/apache.pid",
            f"ErrorLog {folder}/apache.log",
            *(f"LoadModule {name}_module modules/mod_{name}.so" for name in MODULES),
            *(("User www-data", "Group www-data") if os.geteuid() == 0 else ()),
            block,
        ]
        self._config = folder / "apache.conf"
        self._config.write_text("\n".join(lines), encoding="utf-8")

    def __enter__(self) -> None:
        program = shutil.which("apache2")
        assert program
        self._process = subprocess.Popen([program, "-f", self._config, "-DFOREGROUND"])

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5, allow_redirects=False).status_code < 500
    except requests.RequestException:
        return False


def logged_in(site: str, name: str) -> requests.Session:
    """The browser of somebody who has logged in."""
    browser = requests.Session()
    form = browser.get(f"{site}/processes", timeout=30)
    assert "/birds/" not in form.url, "who is not logged in is sent to the provider"
    (action,) = re.findall(r'<form[^>]*?(?:action="([^"]*)")?[^>]*>', form.text)[:1]
    back = browser.post(
        urljoin(form.url, action) if action else form.url, {"sub": name}, timeout=30
    )
    assert back.url == f"{site}/processes", "and is sent back to where he wanted to go"
    return browser


def jobs(site: str, browser: requests.Session) -> list[Any]:
    answer = browser.get(f"{site}/jobs", headers={"Accept": "application/json"}, timeout=30)
    assert answer.status_code == 200
    return [job["jobID"] for job in answer.json()["jobs"]]


def execute(site: str, browser: requests.Session, **headers: str) -> str:
    url = f"{site}/processes/repeat_2/execution"
    body = {"inputs": {"text": "who "}}
    answer = browser.post(url, json=body, headers={"Prefer": "respond-async"} | headers, timeout=30)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"].startswith(f"{site}/jobs/")
    return str(answer.json()["jobID"])


def test_each_sees_the_own_jobs_alone(site: str) -> None:
    alice, bob = logged_in(site, "alice"), logged_in(site, "bob")
    job = execute(site, alice)
    assert jobs(site, alice) == [job]
    assert jobs(site, bob) == []
    wait_for(
        lambda: alice.get(f"{site}/jobs/{job}?f=json", timeout=30).json()["status"] == "successful",
        "the job of Alice ends",
    )
    assert alice.get(f"{site}/jobs/{job}/results", timeout=30).status_code == 200
    unknown = job[:-4] + ("0000" if job[-4:] != "0000" else "1111")
    for path in ("", "/results", "/log"):
        stranger, never = (
            bob.get(f"{site}/jobs/{one}{path}?f=json", timeout=30) for one in (job, unknown)
        )
        assert stranger.status_code == never.status_code == 404
        assert stranger.text.replace(job, "ID") == never.text.replace(unknown, "ID")
    assert bob.delete(f"{site}/jobs/{job}", timeout=30).status_code == 404


def test_nobody_becomes_another_one_by_a_header(site: str) -> None:
    carol = logged_in(site, "carol")
    job = execute(site, carol, **{"X-Remote-User": "dave"})
    assert job in jobs(site, carol)
    assert jobs(site, logged_in(site, "dave")) == []


def test_who_is_not_logged_in_is_sent_to_the_provider(site: str, provider: str) -> None:
    headers = {"X-Remote-User": "alice", "Accept": "text/html"}
    for path in ("wps?service=WPS&request=GetCapabilities", "jobs", "ui/", "outputs/x/y"):
        answer = requests.get(f"{site}/{path}", headers=headers, allow_redirects=False, timeout=30)
        assert answer.status_code == 302, path
        assert answer.headers["Location"].startswith(provider)
