"""One map of URLs, in which faces and parts register their rules."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import Rule
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Request

from in_process_service import InProcessService, open_service
from pywps_hpc.settings import SettingsError
from pywps_hpc.web import outputs
from pywps_hpc.web.addresses import Addresses, configured
from pywps_hpc.web.application import RULES
from pywps_hpc.web.ogcapi import face as ogcapi
from pywps_hpc.web.routes import Routes
from pywps_hpc.web.wps1 import face

JOB = "0a1b2c3d-0000-4000-8000-000000000000"
ADDRESSES = Addresses("http://host/status/", "http://host/outputs/")


def rules_of_another_face(addresses: Addresses) -> Iterator[Rule]:
    yield Rule("/things/<job:access>", endpoint=list_job, methods=["GET", "DELETE"])


def list_job() -> None:
    """A handler of the other face."""


@pytest.fixture
def routes() -> Routes:
    every = (*RULES, rules_of_another_face)
    return Routes(rule for rules in every for rule in rules(ADDRESSES))


def found(routes: Routes, path: str, method: str = "GET") -> tuple[object, dict[str, str]] | None:
    handler = routes.find({"PATH_INFO": path, "REQUEST_METHOD": method})
    if handler is None:
        return None
    assert isinstance(handler, functools.partial)
    return handler.func, handler.keywords


@pytest.mark.parametrize("prefix", ["", "/a", "/a/b c", "/status", f"/{JOB}"])
def test_faces_and_parts_share_one_map_behind_any_prefix(routes: Routes, prefix: str) -> None:
    job = {"access": JOB}
    assert found(routes, f"{prefix}/status/{JOB}") == (face.show_status, job)
    assert found(routes, f"{prefix}/things/{JOB}", "DELETE") == (list_job, job)
    for name in (f"status/{JOB}", f"jobs/{JOB}/log", "processes/a", "api"):
        # a process may name its outputs as it likes
        expected = (outputs.show, job | {"name": name})
        assert found(routes, f"{prefix}/outputs/{JOB}/{name}") == expected
    assert found(routes, f"{prefix}/wps") is None


def test_a_known_url_is_told_from_a_method_that_it_does_not_take(routes: Routes) -> None:
    with pytest.raises(MethodNotAllowed):
        found(routes, f"/outputs/{JOB}/a", "POST")
    assert routes.has({"PATH_INFO": f"/outputs/{JOB}/a", "REQUEST_METHOD": "POST"})
    assert found(routes, f"/status/{JOB}", "HEAD") == (face.show_status, {"access": JOB})
    assert not routes.has({"PATH_INFO": "/wps", "REQUEST_METHOD": "POST"})


def test_outputs_may_have_any_folder_but_one_that_no_rule_can_name() -> None:
    for url, path in (
        ("http://host/", f"/{JOB}/a"),
        ("http://host/a%7C%2Fb/", f"/a|/b/{JOB}/a"),
        ("http://host/x/r%C3%A9s/", f"/r\u00e9s/{JOB}/a"),
    ):
        addresses = configured("http://host/wps", url, "/tmp")
        routes = Routes(rule for rules in RULES for rule in rules(addresses))
        wsgi = path.encode().decode("latin-1")  # PEP 3333
        assert found(routes, wsgi) == (outputs.show, {"access": JOB, "name": "a"})
    with pytest.raises(SettingsError, match=r"\[server\] outputurl: .*name another"):
        configured("http://host/wps", "http://host/%3Ca%3E/", "/tmp")


@pytest.mark.parametrize("prefix", ["", "/a", "/a/b c"])
def test_ogc_api_is_behind_any_prefix(routes: Routes, prefix: str) -> None:
    for path, arguments in (
        ("/conformance", {}),
        ("/processes/an echo", {"process": "an echo"}),
        ("/processes/echo/execution", {"process": "echo"}),
        (f"/jobs/{JOB}/results/a/b", {"access": JOB, "output": "a/b"}),
    ):
        answer = found(routes, f"{prefix}{path}", "OPTIONS")
        assert answer is not None
        assert answer[1] == arguments


@pytest.mark.parametrize(
    ("script", "path", "is_ours"),
    [
        ("", "/a/jobs", True),
        ("/a", "/jobs", True),
        ("", f"/a/jobs/{JOB}/log", True),
        ("", "/jobs", False),
        ("", "/a/admin/jobs", False),
        ("", "/b/processes/x", False),
        ("", f"/b/status/{JOB}", True),
    ],
)
def test_an_application_around_the_service_keeps_urls_that_are_called_alike(
    routes: Routes, script: str, path: str, is_ours: bool
) -> None:
    environ = {"SCRIPT_NAME": script, "PATH_INFO": path, "REQUEST_METHOD": "GET"}
    assert routes.has(environ, "/a/") == is_ours


@pytest.mark.parametrize(
    ("url", "path", "query", "is_landing"),
    [
        ("http://host/wps", "/", "", True),
        ("http://host/wps", "/", "f=json", True),
        ("http://host/wps", "/", "SERVICE=WPS", False),
        ("http://host/wps", "/wps", "", False),
        ("http://host/wps", "/other/", "", False),
        ("http://host/a%20b/c/wps", "/a b/c/", "", True),
        ("http://host/a%20b/c/wps", "/c/", "", True),
        ("http://host/a%20b/c/wps", "/a b/", "", False),
        ("http://host/", "/", "", True),
        ("http://host/", "/", "request=GetCapabilities&service=WPS", False),
    ],
)
def test_the_landing_page_is_beside_the_endpoint(
    url: str, path: str, query: str, is_landing: bool
) -> None:
    addresses = configured(url, "file:///tmp", "/tmp")
    request = Request(EnvironBuilder(path=path, query_string=query).get_environ())
    assert (ogcapi.at_root(addresses, request) is not None) == is_landing
    # An Execute goes to the endpoint; a POST with nothing in it is none.
    posted = Request(EnvironBuilder(path=path, method="POST", data=b"<a/>").get_environ())
    assert ogcapi.at_root(addresses, posted) is None
    empty = EnvironBuilder(path=path, query_string=query, method="POST").get_environ()
    assert (ogcapi.at_root(addresses, Request(empty)) is not None) == is_landing


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("routes")) as opened:
        yield opened


def test_what_is_below_an_address_of_a_job_is_no_request_to_the_endpoint(
    app: InProcessService,
) -> None:
    job = app.accept()
    client: Client = app.web
    assert client.get(f"/status/{job.access}").status_code == 200
    for path in (f"/status/{job.access}/more", f"/outputs/{job.access}", f"/status/{JOB}"):
        answer = client.get(path)
        assert (answer.status_code, b"NoSuchJob" in answer.data) == (404, True)
    assert client.post(f"/status/{job.access}", data="x").status_code == 405


def test_whoever_uses_another_method_is_told_which_there_are(
    app: InProcessService, caplog: pytest.LogCaptureFixture
) -> None:
    second = {"service": "WPS", "version": "2.0.0", "request": "GetCapabilities"}
    for method, path, query, allowed in (
        ("POST", f"/status/{JOB}", {}, {"GET", "HEAD"}),
        ("DELETE", f"/outputs/{JOB}/a", {}, {"GET", "HEAD"}),
        ("PUT", "/wps", {}, {"GET", "POST"}),
        ("PUT", "/wps", second, {"GET", "POST"}),
    ):
        answer = app.web.open(path, method=method, query_string=query)
        assert answer.status_code == 405, path
        assert allowed <= {name.strip() for name in answer.headers["Allow"].split(",")}
    assert "Traceback" not in caplog.text  # for a client's mistake
