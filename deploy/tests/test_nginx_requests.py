"""What nginx, with the file in ``deploy/``, passes on to web hosts: how often, and for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from deployed_site import PREFIX, open_folder
from nginx_site import nginx

from servers import HTTP, free_port, wait_for


class Host(ThreadingHTTPServer):
    """A web host that keeps what it was asked; one that dies closes the connection unanswered."""

    def __init__(self, *, dies: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.dies = dies
        self.seen: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["X-Remote-User"]))
        if not self.server.dies:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Site:
    """nginx without a login before two hosts, the first of which dies."""

    url: str
    certificate: str
    hosts: list[Host] = field(default_factory=list)

    def get(self, query: str) -> requests.Response:
        return HTTP.get(
            f"{self.url}?service=WPS&{query}", verify=self.certificate, auth=("anna", "x")
        )

    def seen(self, what: str) -> list[tuple[str, str | None]]:
        return [one for host in self.hosts for one in host.seen if what in one[0]]


@pytest.fixture
def site() -> Iterator[Site]:
    port = free_port()
    hosts = [Host(dies=True), Host(dies=False)]
    with (
        open_folder() as folder,
        nginx(folder, port, [host.server_port for host in hosts], login=False) as certificate,
    ):
        there = Site(f"https://localhost:{port}{PREFIX}/wps", certificate, hosts)
        wait_for(lambda: (folder / "nginx.pid").exists(), "nginx runs")
        yield there
    for host in hosts:
        host.shutdown()
        host.server_close()


@pytest.mark.parametrize("name", ["request=Execute", "REQUEST=execute"])
def test_a_request_that_makes_a_job_is_sent_to_one_host_alone(site: Site, name: str) -> None:
    codes = [site.get(f"{name}&identifier=square").status_code for _ in range(4)]
    assert set(codes) == {200, 502}
    assert len(site.seen("square")) == len(codes)


def test_a_question_is_answered_by_the_next_host(site: Site) -> None:
    assert [site.get("request=GetCapabilities").status_code for _ in range(4)] == [200] * 4


def test_an_account_that_nobody_has_authenticated_is_not_passed_on(site: Site) -> None:
    site.get("request=GetCapabilities")
    assert {account for _, account in site.seen("GetCapabilities")} <= {None, ""}
