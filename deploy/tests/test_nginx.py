"""nginx with the file that docs/deploy/nginx.md shows: TLS, a prefix, owners, and two web servers
on one PostgreSQL of which one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from deployed_site import (
    ACCOUNT,
    APPLICATION,
    PREFIX,
    ended,
    execute,
    file_of,
    location,
    open_folder,
    service,
)
from nginx_site import answers, nginx

from postgres import Postgres
from servers import HTTP, HpcServer, free_port, wait_for


@dataclass
class Deployment:
    """nginx, two web servers, a dispatcher and PostgreSQL."""

    server: HpcServer
    second: subprocess.Popen[bytes]
    public: str
    certificate: str

    @property
    def wps(self) -> str:
        return f"{self.public}{PREFIX}/wps"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def deployed(folder: Path) -> Iterator[Deployment]:
    port, other = free_port(), free_port()
    public = f"https://localhost:{port}"
    with Postgres() as database:
        keys = {"user_header": "X-Remote-User", "trusted_proxies": "127.0.0.1"}
        keys |= {"database": database.url, "slots": 4, "accel_location": "/birds-spool/"}
        server = service(folder / "service", public, user=ACCOUNT, **keys)
        with server:
            line = [server.python, "-m", "pywps_hpc", "web", APPLICATION]
            line += ["--config", str(server.config), "--bind", f"127.0.0.1:{other}"]
            second = server.spawn(line)
            with nginx(folder, port, (server.port, other)) as made:
                there = Deployment(server, second, public, made)
                for address in (f"http://127.0.0.1:{other}/wps", there.wps):
                    wait_for(lambda at=address: answers(at, made), f"{address} answers")
                yield there


def test_a_request_by_tls_and_prefix_gets_links_that_lead_back(deployed: Deployment) -> None:
    how = {"verify": deployed.certificate, "auth": ("anna", "a")}
    address = location(execute(deployed.wps, **how))
    assert address.startswith(f"{deployed.public}{PREFIX}/")
    result = file_of(ended(address, **how))
    assert result.startswith(f"{deployed.public}{PREFIX}/")
    assert HTTP.get(result, **how).text == "144"
    for path in ("/conformance", "/processes", "/jobs", "/ui/"):
        assert HTTP.get(f"{deployed.public}{PREFIX}{path}", **how).status_code == 200, path


def test_a_job_is_its_senders_whatever_others_say_they_are(deployed: Deployment) -> None:
    anna, ben = (
        {"verify": deployed.certificate, "auth": auth} for auth in (("anna", "a"), ("ben", "b"))
    )
    address = location(execute(deployed.wps, **anna))
    ended(address, **anna)
    for headers in ({}, {"X-Remote-User": "anna"}, {"X_Remote_User": "anna"}):
        assert HTTP.get(address, headers=headers, **ben).status_code == 404
    assert HTTP.get(address, verify=deployed.certificate).status_code == 401


def test_nginx_sends_an_output_to_its_owner_alone_whole_and_in_parts(deployed: Deployment) -> None:
    anna, ben = (
        {"verify": deployed.certificate, "auth": auth} for auth in (("anna", "a"), ("ben", "b"))
    )
    result = file_of(ended(location(execute(deployed.wps, **anna)), **anna))
    whole = HTTP.get(result, **anna)
    assert (whole.status_code, whole.text) == (200, "144")
    assert whole.headers["Content-Type"].startswith("text/plain")
    assert whole.headers["Content-Security-Policy"].startswith("sandbox")
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert "private" in whole.headers["Cache-Control"]
    # The service itself has named the file to nginx, and sent none of it.
    straight = f"{deployed.server.base}{result.removeprefix(deployed.public)}"
    named = HTTP.get(straight, headers={"X-Remote-User": "anna"})
    assert named.headers["X-Accel-Redirect"].startswith("/birds-spool/")
    assert named.content == b""
    part = HTTP.get(result, headers={"Range": "bytes=1-"}, **anna)
    assert (part.status_code, part.text) == (206, "44")
    assert part.headers["Content-Range"] == "bytes 1-2/3"
    assert HTTP.get(result, headers={"Range": "bytes=7-"}, **anna).status_code == 416
    again = HTTP.get(result, headers={"If-None-Match": whole.headers["ETag"]}, **anna)
    assert (again.status_code, again.content) == (304, b"")
    head = HTTP.head(result, **anna)
    assert (head.status_code, head.headers["Content-Length"]) == (200, "3")
    for headers in ({}, {"X-Remote-User": "anna"}, {"X-Accel-Redirect": "/birds-spool/"}):
        assert HTTP.get(result, headers=headers, **ben).status_code == 404
    inside = f"{deployed.public}{named.headers['X-Accel-Redirect']}"
    assert HTTP.get(result, verify=deployed.certificate).status_code == 401
    assert HTTP.get(inside, **anna).status_code == 404


def test_no_accepted_job_is_lost_when_one_of_two_web_hosts_dies(deployed: Deployment) -> None:
    how = {"verify": deployed.certificate, "auth": ("anna", "a")}
    sent = 40

    def send(number: int) -> str:
        if number == sent // 2:
            os.killpg(deployed.second.pid, signal.SIGKILL)
        try:
            answer = execute(deployed.wps, number, seconds=0.2, **how)
        except requests.RequestException:
            return ""
        return location(answer) if answer.status_code == 200 else ""

    with ThreadPoolExecutor(4) as clients:
        accepted = [address for address in clients.map(send, range(sent)) if address]
    assert deployed.second.wait(30) == -signal.SIGKILL
    assert len(accepted) > sent * 3 // 4
    for address in accepted:
        assert b"ProcessSucceeded" in ended(address, **how)
