"""Requests that are unusual and right, as clients of all kinds send them, and some that are wrong
where it is easily missed: each is answered in the form of its face, and nothing is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from lxml import etree
from pywps import Process

from in_process_service import InProcessService, open_service
from pywps_hpc.web import accept as accepting
from wps_client import OWS

CAPABILITIES = "/wps?service=WPS&request=GetCapabilities"
DESCRIBE = "/wps?service=WPS&version=1.0.0&request=DescribeProcess"
EXECUTE = "/wps?service=WPS&version=1.0.0&request=Execute&identifier=tell"
OTHER = {"Origin": "http://other.example"}
JOB = "00000000-0000-4000-8000-000000000000"


def nothing(request: Any, response: Any) -> None:
    """Never called."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("unusual"), hpc={"cors": "*"}) as opened:
        import typed
        from odd_kit import OPEN, result, word

        known = opened.web.application.processes  # type: ignore[attr-defined]
        known.update(typed.service.processes)
        for name in ("a/b", "execution", "x y", "50%"):
            known[name] = Process(
                nothing, name, name, inputs=[word(min_occurs=0)], outputs=[result()], **OPEN
            )
        yield opened


class Reached(Exception):
    """A request that would have become a job."""


Execute = Callable[..., Any]


@pytest.fixture
def reach(app: InProcessService, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """The inputs with which a job would be made; or the answer."""

    def record(_service: Any, _job: Any, _process: Any, request: Any, *_: Any) -> Any:
        seen.append({name: [item.data for item in made] for name, made in request.inputs.items()})
        raise Reached

    seen: list[Any] = []
    monkeypatch.setattr(accepting, "record", record)

    def run(path: str, body: bytes | str | None = None) -> Any:
        seen.clear()
        app.heartbeat()
        if body is None:
            answer = app.web.get(path)
        else:
            answer = app.web.post(path, data=body, content_type="application/json")
        return seen[0] if seen else answer

    return run


def exception(answer: Any) -> tuple[str, str]:
    """Locator and words of an exception report."""
    [found] = etree.fromstring(answer.data).iter(f"{{{OWS}}}Exception")
    return str(found.get("locator")), " ".join("".join(found.itertext()).split())


# HTTP


@pytest.mark.parametrize(
    "query",
    [CAPABILITIES, f"{CAPABILITIES}&version=2.0.0", f"{DESCRIBE}&identifier=tell"],
)
def test_the_endpoint_answers_head_like_get(app: InProcessService, query: str) -> None:
    head, get = app.web.head(query), app.web.get(query)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.content_length == len(get.data)


@pytest.mark.parametrize(
    "query", [EXECUTE, f"/wps?service=WPS&version=2.0.0&request=Dismiss&jobid={JOB}"]
)
def test_nothing_is_done_by_head(app: InProcessService, query: str) -> None:
    answer = app.web.head(query)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")


def test_the_methods_of_an_address_are_told(app: InProcessService) -> None:
    for path, methods in (
        ("/wps", {"GET", "HEAD", "POST", "OPTIONS"}),
        (f"/outputs/{JOB}/a", {"GET", "HEAD", "OPTIONS"}),
    ):
        answer = app.web.options(path)
        assert answer.status_code == 204
        assert set(answer.headers["Allow"].split(", ")) == methods


def test_scripts_of_other_hosts_get_the_outputs_to_which_the_api_leads_them(
    app: InProcessService,
) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    told = app.web.options(f"/outputs/{JOB}/a", headers=OTHER | asked).headers
    assert told["Access-Control-Allow-Origin"] == "*"
    assert "Range" in told["Access-Control-Allow-Headers"]
    job = app.accept()
    job.outputs.mkdir(parents=True)
    (job.outputs / "a.txt").write_text("a")
    answer = app.web.get(f"/outputs/{job.access}/a.txt", headers=OTHER)
    assert (answer.data, answer.headers["Access-Control-Allow-Origin"]) == (b"a", "*")
    assert "Access-Control-Allow-Origin" not in app.get(f"/outputs/{job.access}/a.txt").headers


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "image/png", "nonsense"])
def test_every_answer_of_the_endpoint_has_a_type_whatever_is_accepted(
    app: InProcessService, kind: str
) -> None:
    for path in (CAPABILITIES, "/wps", f"{EXECUTE}&DataInputs=nothing=1"):
        answer = app.web.get(path, headers={"Accept": kind})
        assert answer.mimetype == "text/xml", path
        etree.fromstring(answer.data)


def test_descriptions_in_json_hold_dates(app: InProcessService) -> None:
    for path in (CAPABILITIES, f"{DESCRIBE}&identifier=tell,literals"):
        answer = app.web.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 200
        assert "1990-01-01" in json.dumps(answer.json)


# Addresses


@pytest.mark.parametrize("name", ["a/b", "execution", "x y", "50%"])
def test_the_links_of_a_process_lead_to_it_whatever_its_name(
    app: InProcessService, reach: Execute, name: str
) -> None:
    known = app.web.get("/processes?limit=1000").json["processes"]
    [links] = [one["links"] for one in known if one["id"] == name]
    urls = {link["rel"].rpartition("/")[2]: link["href"] for link in links}
    assert app.web.get(urls["self"].removeprefix("http://127.0.0.1:9")).json["id"] == name
    path = urls["execute"].removeprefix("http://127.0.0.1:9")
    assert reach(path, '{"inputs": {"text": "x"}}') == {"text": ["x"]}


@pytest.mark.parametrize("path", ["/processes", "/jobs", "/conformance", "/api"])
def test_a_collection_may_have_a_slash_at_its_end(app: InProcessService, path: str) -> None:
    assert app.web.get(f"{path}/").json == app.web.get(path).json


def test_what_is_not_there_is_told_in_the_form_of_the_api(app: InProcessService) -> None:
    for path in ("/processes/tell/", "/processes/tell/jobs", "/processes/a/b/c", f"/jobs/{JOB}/"):
        for method in ("GET", "DELETE"):
            answer = app.web.open(path, method=method)
            assert answer.status_code in (404, 405)
            assert answer.json["status"] == answer.status_code


# Values


@pytest.mark.parametrize(
    "body",
    [
        r'{"inputs": {"strings": "\ud800"}}', r'{"inputs": {"\udc00": "x"}}',
        r'{"outputs": {"\ud800": {}}}', r'{"inputs": {"doc": {"a": "\udfff x"}}}',
        '{"inputs": {"floats": 1e400}}', '{"inputs": {"doc": {"a": [1, -1e999]}}}',
    ],
)  # fmt: skip
def test_what_json_cannot_mean_is_refused(reach: Execute, body: str) -> None:
    answer = reach("/processes/tell/execution", body)
    assert answer.status_code == 400
    assert "surrogate" in answer.json["detail"] or "too large" in answer.json["detail"]


def test_a_pair_of_surrogates_is_a_character(reach: Execute) -> None:
    body = r'{"inputs": {"strings": "\ud83d\ude00"}}'
    assert reach("/processes/tell/execution", body)["strings"] == ["\U0001f600"]


@pytest.mark.parametrize("written", ["[{}]", "%5B{}%5D"])
def test_lists_of_a_query_may_be_in_brackets(reach: Execute, written: str) -> None:
    inputs, outputs = (
        written.format("strings=a;integers=3"),
        written.format("doc=@asReference=true"),
    )
    for query in (
        f"{EXECUTE}&DataInputs={inputs}&ResponseDocument={outputs}",
        f"{EXECUTE}&DataInputs={inputs}&RawDataOutput={written.format('seen')}",
        f"{EXECUTE}&DataInputs={quote('[strings=a;integers=3]', safe='')}",
    ):
        found = reach(query)
        assert (found["strings"], found["integers"]) == (["a"], [3])
    assert reach(f"{EXECUTE}&DataInputs=strings=[1,2]")["strings"] == ["[1,2]"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("12:00:00Z", "12:00:00+00:00"), ("12:00:00+05:30", "12:00:00+05:30"),
        ("12:00-02:00", "12:00:00-02:00"), ("12:00:00.123456789Z", "12:00:00.123456+00:00"),
        ("12:00:00", "12:00:00"),
    ],
)  # fmt: skip
def test_a_time_keeps_its_zone(reach: Execute, written: str, read: str) -> None:
    [found] = reach(f"{EXECUTE}&DataInputs=times={quote(written)}")["times"]
    assert found.isoformat() == read


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("colour", "blue"), ("dates", "2020-02-30"), ("anyURIs", "x"), ("range", "1"),
        ("nonNegativeIntegers", "-1"), ("dateTimes", "2020-01-01T00:00:00+15:99"),
        ("times", "25:00:00Z"),
    ],
)  # fmt: skip
def test_whoever_is_refused_is_told_of_which_input(reach: Execute, name: str, written: str) -> None:
    locator, words = exception(reach(f"{EXECUTE}&DataInputs={name}={quote(written)}"))
    assert locator == name
    assert "mode 1" not in words
    assert "positiveInteger" not in words
    answer = reach("/processes/tell/execution", json.dumps({"inputs": {name: written}}))
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("fr-CA", "fr-CA"), ("FR-ca", "fr-CA"), ("fr", "fr-CA"), ("EN", "en-US"), ("*", "en-US")],
)
def test_languages_are_compared_as_they_are_defined(
    app: InProcessService, wanted: str, given: str
) -> None:
    for path in (CAPABILITIES, f"{DESCRIBE}&identifier=tell"):
        found = etree.fromstring(app.web.get(f"{path}&language={wanted}").data)
        assert found.get("{http://www.w3.org/XML/1998/namespace}lang") == given
