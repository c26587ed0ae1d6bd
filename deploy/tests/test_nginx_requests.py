"""What nginx, with the file in ``deploy/``, passes on to web hosts: how often, and for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from deployed_site import PREFIX, open_folder
from nginx_site import nginx, was_sent

from servers import free_port, wait_for


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
        sent = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self.server.seen.append((self.path + sent, self.headers["X-Remote-User"]))
        if not self.server.dies:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Site:
    """nginx without a login before two hosts."""

    url: str
    certificate: str
    hosts: list[Host] = field(default_factory=list)

    def send(self, method: str, path: str, data: str = "") -> int:
        """The status of the answer."""
        return self.answer(method, path, data).status_code

    def answer(self, method: str, path: str, data: str = "") -> requests.Response:
        """What is answered. The path goes as it is: a client would write it in its own way."""
        prepared = requests.Request(method, self.url, data=data, auth=("anna", "x")).prepare()
        prepared.url = f"{self.url}{path}"
        with requests.Session() as client:
            client.trust_env = False
            return client.send(prepared, verify=self.certificate, timeout=60)

    def seen(self, what: str) -> list[tuple[str, str | None]]:
        return [one for host in self.hosts for one in host.seen if what in one[0]]


@contextmanager
def before(*, dying: Sequence[bool], patient: bool = False) -> Iterator[Site]:
    """nginx before a host for each, which dies or answers."""
    port = free_port()
    hosts = [Host(dies=dies) for dies in dying]
    ports = [host.server_port for host in hosts]
    with (
        open_folder() as folder,
        nginx(folder, port, ports, login=False, patient=patient) as certificate,
    ):
        wait_for(lambda: (folder / "nginx.pid").exists(), "nginx runs")
        yield Site(f"https://localhost:{port}{PREFIX}", certificate, hosts)
    for host in hosts:
        host.shutdown()
        host.server_close()


@pytest.fixture(scope="module")
def dead() -> Iterator[Site]:
    """Both hosts have whatever is sent to them, and break off: how many had a request is how often
    it was sent."""
    with before(dying=(True, True), patient=True) as site:
        yield site


@pytest.fixture
def site() -> Iterator[Site]:
    """One host of two breaks off."""
    with before(dying=(True, False)) as site:
        yield site


WPS = "/wps?service=WPS&version=1.0.0&identifier=square"
JOB = "0b6f36e2-6b5c-4f62-9d7b-1d1f0f1b8d5e"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{WPS}&request=Execute"),
        ("GET", f"{WPS}&REQUEST=execute"),
        ("HEAD", f"{WPS}&request=Execute"),
        ("PUT", f"{WPS}&request=Execute"),
        ("POST", WPS),
        # Letters that are encoded, in names and in values.
        ("GET", f"{WPS}&request=%45xecute"),
        ("GET", f"{WPS}&%72equest=Execute"),
        ("GET", f"{WPS}&request=Execut%65"),
        ("GET", f"{WPS}&request=+Execute"),
        # Twice; nginx and the service need not mean the same one.
        ("GET", f"{WPS}&request=GetCapabilities&request=Execute"),
        ("GET", f"{WPS}&request=Execute&request=GetCapabilities"),
        ("GET", f"{WPS}&request=GetCapabilities&%52equest=Execute"),
        ("GET", f"{WPS}&request=GetCapabilities&Request=Execute"),
        ("GET", f"{WPS}&request=GetCapabilities;request=Execute"),
        ("GET", f"{WPS}&request=GetCapabilities%26request=Execute"),
        # The end point by other names: it answers whatever no rule of the service matches.
        ("GET", "/jobs/none?service=WPS&request=Execute"),
        ("GET", "/status?service=WPS&request=Execute"),
        ("GET", "/outputs/none?service=WPS&request=Execute"),
        ("GET", "/ui/?service=WPS&request=Execute"),
        ("GET", "/?service=WPS&request=Execute"),
        ("GET", "/jobs/../wps?service=WPS&request=Execute"),
        ("GET", "/jobs%3F/../wps?service=WPS&request=Execute"),
        ("GET", "/w%70s?service=WPS&request=Execute"),
        ("GET", "//wps?service=WPS&request=Execute"),
        ("POST", "/processes/square/execution"),
        ("PUT", f"/jobs/{JOB}/status"),
        ("DELETE", f"/jobs/{JOB}"),
    ],
)
def test_what_may_make_a_job_is_sent_to_one_host_alone(dead: Site, method: str, path: str) -> None:
    data = f"body of {method} {path}" if method in ("POST", "PUT") else ""
    had = sum(len(host.seen) for host in dead.hosts)
    assert dead.send(method, path, data) == 502
    assert sum(len(host.seen) for host in dead.hosts) == had + 1
    assert not data or dead.seen(data)


@pytest.mark.parametrize(
    "path",
    [
        "/wps?service=WPS&request=GetCapabilities",
        "/wps?REQUEST=getcapabilities&SERVICE=WPS&AcceptVersions=2.0.0,1.0.0",
        f"{WPS}&request=DescribeProcess&language=en-US",
        "/",
        "/ui/",
        f"/ui/jobs/{JOB}",
        f"/status/{JOB}",
        f"/outputs/{JOB}/map%20of%20it.nc",
        "/processes",
        "/jobs?limit=5&status=running",
        f"/jobs/{JOB}/results",
        "/health/ready",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_makes_no_job_is_sent_to_the_next_host(dead: Site, method: str, path: str) -> None:
    had = sum(len(host.seen) for host in dead.hosts)
    assert dead.send(method, path) == 502
    assert sum(len(host.seen) for host in dead.hosts) == had + 2


def test_a_question_is_answered_by_the_next_host(site: Site) -> None:
    asked = "/wps?service=WPS&request=GetCapabilities"
    assert [site.send("GET", asked) for _ in range(4)] == [200] * 4


def test_an_execute_by_post_goes_to_the_next_host_if_the_first_refuses(site: Site) -> None:
    site.hosts[0].shutdown()
    site.hosts[0].server_close()
    assert [site.send("POST", "/wps", f"request {number}") for number in range(4)] == [200] * 4
    assert [len(site.seen(f"request {number}")) for number in range(4)] == [1] * 4


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_no_host_had_is_known_as_such(method: str) -> None:
    with before(dying=(True, True), patient=True) as site:
        assert was_sent(site.answer(method, f"{WPS}&request=Execute", "x"))
        for host in site.hosts:
            host.shutdown()
            host.server_close()
        assert not was_sent(site.answer(method, f"{WPS}&request=Execute", "x"))


def test_an_account_that_nobody_has_authenticated_is_not_passed_on(site: Site) -> None:
    site.send("GET", "/wps?service=WPS&request=GetCapabilities")
    assert {account for _, account in site.seen("GetCapabilities")} <= {None, ""}
