"""Callbacks of OGC API - Processes (18-062r2, clause 12), from the request to the receiver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ogcapi_schemas import assert_valid
from places import ROOT, SERVICES
from servers import HTTP, HpcServer, wait_for
from web_answers import Web, content, serve

CALLBACK = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/callback"


@pytest.fixture
def web() -> Iterator[Web]:
    yield from serve(Web())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    folder = tmp_path_factory.mktemp("callbacks")
    secret = folder / "secret"
    secret.write_text("0123456789abcdef")
    secret.chmod(0o600)
    sections = {
        "hpc.container": {"python_path": f"\n    {SERVICES}\n    {ROOT}"},
        "hpc.callbacks": {"hosts": "127.0.0.1", "secret": secret},
    }
    environment = {"PYTHONPATH": str(ROOT)}
    with HpcServer(
        folder / "service", application="echo:service", sections=sections, environment=environment
    ) as found:
        yield found


def execute(server: HpcServer, process: str = "echo", **body: Any) -> requests.Response:
    return HTTP.post(f"{server.base}/processes/{process}/execution", json=body)


def subscriber(web: Web) -> dict[str, str]:
    return {f"{name}Uri": f"{web.url}/{name}" for name in ("success", "inProgress", "failed")}


def bodies(web: Web, path: str) -> list[Any]:
    return [
        json.loads(body) for method, seen, _, body in web.seen if (method, seen) == ("POST", path)
    ]


def test_a_subscriber_is_told_of_progress_and_results(server: HpcServer, web: Web) -> None:
    conforms = HTTP.get(f"{server.base}/conformance").json()["conformsTo"]
    assert CALLBACK in conforms
    given = {"inputs": {"text": "a b", "pause": 1}, "outputs": {"text": {}}}
    answer = execute(server, **given, subscriber=subscriber(web))
    assert answer.status_code == 201
    wait_for(lambda: "/success" in web.paths(), "it is told")
    [found] = bodies(web, "/success")
    assert_valid("results", found)
    results = HTTP.get(f"{answer.headers['Location']}/results")
    assert found == {"text": results.text} == {"text": "a b"}
    for told in bodies(web, "/inProgress"):
        assert_valid("statusInfo", told)
        assert told["status"] in ("accepted", "running")
        assert told["jobID"] == answer.json()["jobID"]
    assert "/failed" not in web.paths()
    assert "/inProgress" in web.paths()


def test_a_subscriber_is_told_of_a_failure(server: HpcServer, web: Web) -> None:
    web.answers["/failed"] = content(b"", 204)
    answer = execute(server, "fail", inputs={"how": "raise"}, subscriber=subscriber(web))
    wait_for(lambda: "/failed" in web.paths(), "it is told")
    [found] = bodies(web, "/failed")
    assert_valid("statusInfo", found)
    assert found["status"] == "failed"
    shown = HTTP.get(answer.headers["Location"]).json()
    assert found["message"] == shown["message"]
    assert found["links"] == shown["links"]


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",  # nobody has allowed it
        "http://127.0.0.2/",
        "http://2130706434/",
        "http://[::1]/",
        "http://169.254.169.254/latest/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/" + "a" * 2000,
        "http:///",
        "",
        7,
    ],
)
@pytest.mark.parametrize("name", ["successUri", "inProgressUri", "failedUri"])
def test_an_address_that_may_not_be_told_is_refused(
    server: HpcServer, name: str, url: object
) -> None:
    before = len(server.rows())
    given = {"successUri": "http://127.0.0.1/", name: url}
    answer = execute(server, inputs={"text": "a"}, subscriber=given)
    assert answer.status_code == 400, answer.text
    assert_valid("exception", answer.json())
    assert name in answer.json()["detail"]
    assert len(server.rows()) == before
