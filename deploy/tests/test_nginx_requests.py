"""What nginx, with the file in ``deploy/``, passes on to web hosts: how often, and for whom."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from deployed_site import PREFIX, open_folder
from nginx_site import nginx, was_sent

from servers import HTTP, free_port, wait_for


class Host(ThreadingHTTPServer):
    """A web host that keeps what it was asked; one that dies closes the connection unanswered.

    Attributes:
        seen: path and body of each request, and the account that nginx named.
        says: headers of its answers.
    """

    def __init__(self, *, dies: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.dies = dies
        self.seen: list[tuple[str, str | None]] = []
        self.says: dict[str, str] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self.server.seen.append((self.path + sent, self.headers["X-Remote-User"]))
        if not self.server.dies:
            self.send_response(200)
            for header, value in ({"Content-Length": "0"} | self.server.says).items():
                self.send_header(header, value)
            self.end_headers()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Site:
    """nginx without a login before two hosts, and a spool in a folder."""

    url: str
    certificate: str
    folder: Path
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
        yield Site(f"https://localhost:{port}{PREFIX}", certificate, folder, hosts)
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
        # The endpoint by other names: it answers whatever no rule of the service matches.
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


JOB_FILE = f"{JOB}/outputs/{JOB}/a b.txt"
#: What a service must never say and might be made to, and what nginx may answer it.
OUTSIDE = (
    "/birds-spool/../secret",
    "/birds-spool/%2e%2e/secret",
    "/birds-spool/..%2fsecret",
    f"/birds-spool/{JOB}/../../secret",
    f"/birds-spool/{JOB}/%2e%2e/%2e%2e/secret",
    f"/birds-spool/{JOB}/outputs/{JOB}/link.txt",
    f"/birds-spool/{JOB}/outputs/{JOB}/folder/secret",
    f"/birds-spool/{JOB}/outputs/link/{JOB}/a%20b.txt",
    "/birds-spool/",
    f"/birds-spool/{JOB}/outputs/",
    f"/birds-spool/{JOB}/outputs/{JOB}/pipe",
)


@pytest.fixture(scope="module")
def with_spool() -> Iterator[Site]:
    """A host that names a file to nginx, and a spool with links and a secret beside it."""
    with before(dying=(False, False)) as site:
        spool = site.folder / "service/spool"
        outputs = spool / JOB_FILE.rpartition("/")[0]
        outputs.mkdir(parents=True)
        (spool / JOB_FILE).write_bytes(b"0123456789")
        (spool.parent / "secret").write_text("a secret")
        (outputs / "link.txt").symlink_to(spool.parent / "secret")
        (outputs / "folder").symlink_to(spool.parent)
        (spool / JOB / "outputs/link").symlink_to(spool / JOB / "outputs")
        os.mkfifo(outputs / "pipe")
        yield site


def handed_over(site: Site, location: str, **headers: str) -> requests.Response:
    """The answer to a client when the service names this location to nginx."""
    for host in site.hosts:
        host.says = {"X-Accel-Redirect": location, **headers}
    return site.answer("GET", f"/outputs/{JOB}/a%20b.txt")


def test_nginx_sends_the_file_that_the_service_names_with_its_headers(with_spool: Site) -> None:
    own = {
        "Content-Type": "text/x-mine",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Sunset": "Sat, 01 Jan 2050 00:00:00 GMT",
        "Cache-Control": "max-age=60, private",
        "Content-Disposition": "inline; filename*=UTF-8''a%20b.txt",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "Location",
    }
    answer = handed_over(with_spool, f"/birds-spool/{JOB_FILE.replace(' ', '%20')}", **own)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert {name: answer.headers[name] for name in own} == own
    assert "X-Accel-Redirect" not in answer.headers


@pytest.mark.parametrize("location", OUTSIDE)
def test_nothing_but_a_plain_file_of_the_spool_can_be_named(
    with_spool: Site, location: str
) -> None:
    answer = handed_over(with_spool, location)
    assert answer.status_code in (403, 404, 500), answer.status_code
    assert b"secret" not in answer.content
    assert b"0123456789" not in answer.content


def test_a_client_finds_nothing_at_the_location_of_the_spool(with_spool: Site) -> None:
    for path in (f"/birds-spool/{JOB_FILE}", "/birds-spool/", "/birds-spool/secret"):
        url = with_spool.url.removesuffix(PREFIX) + path
        answer = HTTP.get(url, verify=with_spool.certificate, timeout=60)
        assert answer.status_code == 404, path
