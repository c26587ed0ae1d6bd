"""The pages for people, as a browser without scripts sees them."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import html as documents
from werkzeug.test import TestResponse

from in_process_service import InProcessService, open_service
from joblauncher.shared import outcome
from pywps_hpc.jobs import ControlRequest, JobStore, State
from pywps_hpc.spool import JobDir
from pywps_hpc.web.pages import fields, previews

HOSTILE = "<script>alert(1)</script>\"'&amp;"
NOBODY = "0f6c1b52-5a52-4c3e-9d5b-0d4a3c1f7e11"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("app"), hpc={"administrators": "root"}) as opened:
        opened.heartbeat()
        yield opened


@pytest.fixture(autouse=True)
def _no_cookies(app: InProcessService) -> None:
    if app.web._cookies is not None:
        app.web._cookies.clear()


def get(app: InProcessService, path: str, user: str = "", code: int = 200) -> TestResponse:
    answer = app.get(path, user)
    assert answer.status_code == code, answer.text
    return answer


def post(
    app: InProcessService, path: str, user: str = "", token: str | None = None, **values: Any
) -> TestResponse:
    if token is None:
        found = re.search(r'name="token" value="(\w+)"', app.get("/ui/", user).text)
        assert found is not None
        token = found[1]
    app.heartbeat()
    return app.web.post(
        path,
        data={"token": token, **values},
        content_type="multipart/form-data",
        environ_overrides={"REMOTE_USER": user} if user else {},
    )


def run(app: InProcessService, process: str, user: str = "", **values: Any) -> JobDir:
    """Send the form of a process; the folder of its job."""
    named = {f"in.{name}": value for name, value in values.items()}
    answer = post(app, f"/ui/processes/{process}", user, run="yes", **named)
    assert answer.status_code == 303, answer.text
    row = app.store.at(answer.headers["Location"].rpartition("/")[2])
    assert row is not None
    return app.spool.open(row.id)


def sent(app: InProcessService, job: JobDir) -> dict[str, Any]:
    return dict(json.loads((job.path / "request.json").read_text())["inputs"])


def page_of(app: InProcessService, job: JobDir, user: str = "") -> str:
    return get(app, f"/ui/jobs/{app.row(job).access}", user).text


# --- forms ----------------------------------------------------------------------------------------


def test_a_form_becomes_a_job_with_what_was_filled_in(app: InProcessService) -> None:
    job = run(app, "repeat_2", **{"text.0.value": "né <b>"})
    row = app.row(job)
    assert (row.process, row.sync, row.owner) == ("repeat_2", False, "")
    assert sent(app, job)["text"][0]["data"] == "né <b>"


def test_the_checks_of_every_face_hold_and_the_form_comes_back_filled_in(
    app: InProcessService,
) -> None:
    before = len(app.store.recent(1000))
    answer = post(
        app, "/ui/processes/scaled_percent", **{"in.value.0.value": HOSTILE, "run": "yes"}
    )
    assert answer.status_code == 400
    page = documents.fromstring(answer.text)
    assert page.xpath("//input[@name='in.value.0.value']/@value") == [HOSTILE]
    assert "Could not convert" in page.xpath("string(//p[@class='error'])")
    assert "<script>alert" not in answer.text
    assert len(app.store.recent(1000)) == before


def test_a_needed_input_is_asked_for(app: InProcessService) -> None:
    answer = post(app, "/ui/processes/repeat_2", **{"in.text.0.value": "", "run": "yes"})
    assert answer.status_code == 400
    assert "This is needed." in answer.text


def test_a_field_that_is_not_known_is_refused_and_not_dropped(app: InProcessService) -> None:
    values = {"in.text.0.value": "a", "in.txet.0.value": "b", "run": "yes"}
    answer = post(app, "/ui/processes/repeat_2", **values)
    assert answer.status_code == 400
    assert "in.txet.0.value" in answer.text


def test_an_input_that_may_be_given_often_gets_another_field_without_scripts(
    app: InProcessService,
) -> None:
    answer = post(app, "/ui/processes/joined", **{"in.text.0.value": "one", "add": "text"})
    form = documents.fromstring(answer.text)
    assert [one.get("value") for one in form.xpath("//input[starts-with(@name, 'in.text.')]")] == [
        "one",
        "",
    ]
    job = run(app, "joined", **{"text.0.value": "one", "text.1.value": "two"})
    assert [value["data"] for value in sent(app, job)["text"]] == ["one", "two"]


def test_a_file_is_sent_whole_however_large(app: InProcessService) -> None:
    for size in (3, 300_000):
        content = bytes(range(256)) * (size // 256 + 1)
        file = (io.BytesIO(content), "data.bin")
        answer = post(app, "/ui/processes/texts", **{"in.text.0.file": file, "run": "yes"})
        assert answer.status_code == 400, answer.text  # not text in UTF-8
    text = 'é<x>"\\\n' * 60_000
    job = run(app, "texts", **{"text.0.file": (io.BytesIO(text.encode()), "a.txt")})
    kept = (job.path / "inputs/values").read_bytes()
    assert json.loads(kept) == text


def test_a_file_and_an_address_exclude_each_other(app: InProcessService) -> None:
    values: dict[str, Any] = {"in.text.0.text": "a", "in.text.0.url": "https://example.org/a"}
    answer = post(app, "/ui/processes/texts", **values, run="yes")
    assert answer.status_code == 400
    assert "one of them" in answer.text


@pytest.mark.parametrize("odd", ["", "1,5", "north"])
def test_a_box_has_four_numbers(app: InProcessService, odd: str) -> None:
    corners = {"in.area.0.0": "1", "in.area.0.1": "2", "in.area.0.2": "3", "in.area.0.3": odd}
    answer = post(app, "/ui/processes/box", **corners, run="yes")
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text


def test_a_box_is_what_the_process_gets(app: InProcessService) -> None:
    corners = {"area.0.0": "1", "area.0.1": "2.5", "area.0.2": "3", "area.0.3": "4"}
    job = run(app, "box", **corners)
    assert sent(app, job)["area"][0]["data"].startswith("1,2.5,3,4")


def test_a_form_is_bounded_as_other_requests_are(app: InProcessService) -> None:
    file = (io.BytesIO(b"a" * (21 << 20)), "a.txt")
    answer = post(app, "/ui/processes/texts", **{"in.text.0.file": file, "run": "yes"})
    assert answer.status_code >= 400
    assert "larger" in answer.text or "more than" in answer.text


def test_every_kind_of_input_has_a_field_with_a_name(app: InProcessService) -> None:
    import typed

    class Described:
        inputs = typed.INPUTS

    found = {one.identifier: one for one in fields.fields_of(Described)}
    assert found["colour"].choices == ("red", "green")
    assert found["colour"].default == "green"
    assert found["boolean"].choices == ("true", "false")
    assert found["range"].hints == (
        "Allowed: more than 1 to 9; or from 20 to 30 in steps of 5; or 0.",
    )
    assert found["positiveInteger"].low == "1"
    assert found["length"].units == ("metre", "feet")
    assert [one.encoding for one in found["doc"].formats][3] == "base64"
    assert len(found["cube"].corners) == 6
    assert (found["box"].has_map, found["cube"].has_map) == (True, False)
    assert found["dateTime"].default == "2012-12-31T06:30:00+00:00"


@pytest.mark.parametrize("path", ["/ui/", "/ui/processes"])
def test_every_page_and_form_has_what_reading_aloud_needs(app: InProcessService, path: str) -> None:
    paths = [path]
    if path == "/ui/processes":
        links = documents.fromstring(get(app, path).text).xpath("//main//li/a/@href")
        assert len(links) > 10
        paths += links
    for one in paths:
        page = documents.fromstring(get(app, one).text)
        assert page.get("lang") == "en"
        assert len(page.xpath("//main")) == len(page.xpath("//h1")) == 1, one
        for field in page.xpath("//input[not(@type='hidden')] | //select | //textarea"):
            named = field.get("aria-label") or page.xpath(f"//label[@for='{field.get('id')}']")
            assert named, (one, field.get("name"))
        identifiers = page.xpath("//@id")
        assert len(identifiers) == len(set(identifiers)), one


# --- tokens ---------------------------------------------------------------------------------------

ACTS = ["pause", "resume", "dismiss", "remove", "again", "forget"]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_no_form_counts_without_its_token(app: InProcessService, act: str, token: str) -> None:
    job = run(app, "repeat_2", **{"text.0.value": "a"})
    row = app.row(job)
    get(app, "/ui/")
    answer = post(app, f"/ui/jobs/{row.access}/{act}", token=token)
    assert answer.status_code == 403
    assert app.row(job) == row


@pytest.mark.parametrize("path", ["/ui/find", "/ui/processes/repeat_2"])
def test_nothing_is_taken_from_a_page_of_another_host(app: InProcessService, path: str) -> None:
    values = {"in.text.0.value": "a", "run": "yes"} if "processes" in path else {"address": NOBODY}
    assert post(app, path, token="0" * 64, **values).status_code == 403


def test_a_token_is_bound_to_the_account_and_to_the_browser(app: InProcessService) -> None:
    job = run(app, "repeat_2", "anna", **{"text.0.value": "a"})
    path = f"/ui/jobs/{app.row(job).access}"
    found = re.search(r'name="token" value="(\w+)"', get(app, path, "anna").text)
    assert found is not None
    assert post(app, f"{path}/pause", "root", token=found[1]).status_code == 403
    assert app.web._cookies is not None
    app.web._cookies.clear()
    assert post(app, f"{path}/pause", "anna", token=found[1]).status_code == 403
    assert app.row(job).control is ControlRequest.NONE


# --- who sees what --------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["", "/log"])
@pytest.mark.parametrize("user", ["", "ben"])
def test_a_stranger_gets_the_bytes_of_an_unknown_job(
    app: InProcessService, user: str, rest: str
) -> None:
    job = run(app, "repeat_2", "anna", **{"text.0.value": "a"})
    known = app.get(f"/ui/jobs/{app.row(job).access}{rest}", user)
    unknown = app.get(f"/ui/jobs/{NOBODY}{rest}", user)
    assert (known.status_code, known.data) == (404, unknown.data)
    assert dict(known.headers) == dict(unknown.headers)


@pytest.mark.parametrize("act", ACTS[:-1])
def test_a_stranger_can_do_nothing_and_learns_nothing(app: InProcessService, act: str) -> None:
    job = run(app, "repeat_2", "anna", **{"text.0.value": "a"})
    row = app.row(job)
    known = post(app, f"/ui/jobs/{row.access}/{act}", "ben")
    unknown = post(app, f"/ui/jobs/{NOBODY}/{act}", "ben")
    assert (known.status_code, known.data) == (404, unknown.data)
    assert app.row(job) == row


def test_the_list_is_of_ones_own_jobs_and_of_all_for_an_administrator(
    app: InProcessService,
) -> None:
    anna = app.row(run(app, "repeat_2", "anna", **{"text.0.value": "a"})).access
    carl = app.row(run(app, "repeat_2", "carl", **{"text.0.value": "a"})).access
    assert anna in get(app, "/ui/", "anna").text
    assert carl not in get(app, "/ui/", "anna").text
    listed = get(app, "/ui/", "root").text
    assert anna in listed
    assert carl in listed
    assert anna not in get(app, "/ui/").text


def test_where_nobody_logs_in_a_browser_keeps_the_jobs_that_it_opened(
    app: InProcessService,
) -> None:
    access = app.row(run(app, "repeat_2", **{"text.0.value": "a"})).access
    assert access in get(app, "/ui/").text
    assert post(app, f"/ui/jobs/{access}/forget").status_code == 303
    assert access not in get(app, "/ui/").text
    address = f"http://127.0.0.1:9/status/{access}"
    answer = post(app, "/ui/find", address=address)
    assert answer.headers["Location"] == f"/ui/jobs/{access}"
    assert access in get(app, "/ui/").text
    assert post(app, "/ui/find", address=f"{address[:-4]}0000").status_code == 404
    assert post(app, "/ui/find", address="my job").status_code == 400


# --- what a client or a process wrote -------------------------------------------------------------


def test_whatever_a_process_wrote_is_text(app: InProcessService) -> None:
    job = run(app, "repeat_2", **{"text.0.value": HOSTILE})
    told = outcome.Report(
        job=job.job_id, process="repeat_2", state=outcome.STARTED, message=HOSTILE, percent=40,
        host=HOSTILE, started=1.0,
    )  # fmt: skip
    told.write(job)
    job.log.write_text(HOSTILE)
    for state in (State.SUBMITTING, State.QUEUED, State.RUNNING):
        told_of_it = {"native_id": "7", "message": HOSTILE}
        assert app.store.move(app.row(job), state, **told_of_it) is not None
    page = page_of(app, job)
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 3
    listed = get(app, "/ui/").text
    assert "<script>alert" not in listed


def test_a_page_may_do_no_more_than_it_needs(app: InProcessService) -> None:
    job = run(app, "repeat_2", **{"text.0.value": "a"})
    answer = get(app, f"/ui/jobs/{app.row(job).access}")
    policy = answer.headers["Content-Security-Policy"]
    (nonce,) = set(re.findall(r'<script [^>]*nonce="([^"]+)"', answer.text))
    assert f"script-src 'nonce-{nonce}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<[^>]* (style|on\w+)=|<style|javascript:", answer.text)
    again = get(app, f"/ui/jobs/{app.row(job).access}").headers["Content-Security-Policy"]
    assert again != policy
    assert answer.headers["Cache-Control"] == "no-store"
    for address in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert address.startswith(("/ui/", "#")), address


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "Point", "coordinates": ["<script>", 1]}',
        '{"type": "Point", "coordinates": [NaN, 1]}',
        '{"type": "Point", "coordinates": [1e999, 1]}',
        '{"type": "Polygon", "coordinates": 7}',
        '{"type": "<script>", "coordinates": []}',
        '{"type": "FeatureCollection", "features": []}',
        '{{"type": "LineString", "coordinates": [{}]}}'.format(",".join(["[1, 2]"] * 30_000)),
        "[" * 100_000,
        "[]",
        "7",
    ],
)
def test_what_is_no_map_is_not_drawn(text: str) -> None:
    assert previews.draw(text.encode()) is None


def test_geojson_is_drawn_as_a_map() -> None:
    shapes = [
        {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 5], [0, 0]]]},
        {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
        {"type": "Point", "coordinates": [3, 4]},
    ]
    drawn = previews.draw(json.dumps({"type": "GeometryCollection", "geometries": shapes}).encode())
    assert drawn is not None
    assert drawn.areas == "M0 -0L10 -0L10 -5L0 -0z".replace("-0", "-0")
    assert drawn.points == (("3", "-4"),)
    x, y, width, height = map(float, drawn.box.split())
    assert x < 0 < 10 < x + width
    assert y < -5 < 0 < y + height


# --- what may be done -----------------------------------------------------------------------------


def test_pause_resume_and_dismiss_are_recorded(app: InProcessService) -> None:
    job = run(app, "repeat_2", **{"text.0.value": "a"})
    path = f"/ui/jobs/{app.row(job).access}"
    assert post(app, f"{path}/pause").status_code == 303
    assert app.row(job).control is ControlRequest.PAUSE
    assert "Resume" in page_of(app, job)
    assert post(app, f"{path}/resume").status_code == 303
    assert app.row(job).control is not ControlRequest.PAUSE
    assert post(app, f"{path}/dismiss").status_code == 303
    assert app.row(job).is_dismissed
    assert 'class="chip dismissed"' in page_of(app, job)
    assert post(app, f"{path}/pause").status_code == 409


def test_a_dismissal_that_comes_late_removes_nothing(app: InProcessService) -> None:
    job = run(app, "repeat_2", **{"text.0.value": "a"})
    path = f"/ui/jobs/{app.row(job).access}"
    assert app.store.move(app.row(job), State.FAILED, message="it broke") is not None
    assert post(app, f"{path}/dismiss").status_code == 409
    assert "it broke" in page_of(app, job)
    assert post(app, f"{path}/remove").status_code == 303
    assert app.get(path).status_code in (404, 410)


def test_a_job_that_ends_as_it_is_dismissed_keeps_its_results(
    app: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = run(app, "repeat_2", **{"text.0.value": "a"})
    record = JobStore.request

    def end_before(store: JobStore, job_id: str, wanted: ControlRequest) -> bool:
        assert store.move(app.row(job), State.FAILED, message="it broke") is not None
        return record(store, job_id, wanted)

    monkeypatch.setattr(JobStore, "request", end_before)
    assert post(app, f"/ui/jobs/{app.row(job).access}/dismiss").status_code == 409
    assert "it broke" in page_of(app, job)


def test_a_job_runs_again_with_the_same_inputs(app: InProcessService) -> None:
    job = run(app, "repeat_2", "anna", **{"text.0.value": "né"})
    answer = post(app, f"/ui/jobs/{app.row(job).access}/again", "anna")
    assert answer.status_code == 303
    other = app.store.at(answer.headers["Location"].rpartition("/")[2])
    assert other is not None
    assert other.id != job.job_id
    assert other.owner == "anna"
    assert sent(app, app.spool.open(other.id)) == sent(app, job)
    access = app.row(job).access
    form = get(app, f"/ui/processes/repeat_2?from={access}", "anna").text
    assert 'value="né"' in form
    assert app.get(f"/ui/processes/repeat_2?from={access}", "ben").status_code == 404


def test_a_job_of_any_face_runs_again(app: InProcessService) -> None:
    job = app.accept("repeat_2", [("text", "by WPS")])
    answer = post(app, f"/ui/jobs/{job.access}/again")
    assert answer.status_code == 303
    other = app.store.at(answer.headers["Location"].rpartition("/")[2])
    assert other is not None
    assert sent(app, app.spool.open(other.id)) == sent(app, job)


@pytest.mark.parametrize("size", [3, 2 << 20])
def test_a_job_with_a_file_runs_again(app: InProcessService, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"abc"
    picture = {"file.0.file": (io.BytesIO(content), "a.png"), "file.0.format": "1"}
    job = run(app, "files", **picture)
    answer = post(app, f"/ui/jobs/{app.row(job).access}/again")
    assert answer.status_code == 303, answer.text
    row = app.store.at(answer.headers["Location"].rpartition("/")[2])
    assert row is not None
    other = app.spool.open(row.id)
    assert sent(app, other) == sent(app, job)
    if size > 3:
        kept = json.loads((other.path / "inputs/values").read_bytes())
        assert base64.b64decode(kept) == content
    else:
        assert base64.b64decode(sent(app, other)["file"][0]["data"]) == content


def test_inputs_that_are_too_large_are_not_kept(app: InProcessService) -> None:
    job = run(app, "texts", **{"text.0.file": (io.BytesIO(b"a" * (9 << 20)), "a.txt")})
    assert not (job.path / "request.json").exists()
    assert not (job.path / "request.values").exists()
    assert "Run again" not in page_of(app, job)
    assert post(app, f"/ui/jobs/{app.row(job).access}/again").status_code == 409


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"inputs": {"text": 7}, "values": {}}',
        '{"inputs": {"text": [7]}, "values": {}}',
        '{"inputs": {"x": [{}]}, "values": {}}',
        '{"inputs": {"text": [{"data": "t"}]}, "values": {"t": {"length": 9}}}',
        '{"inputs": {"text": [{"data": []}]}, "values": {}}',
    ],
)
def test_inputs_that_a_process_has_changed_are_checked_like_any(
    app: InProcessService, content: str
) -> None:
    job = run(app, "repeat_2", **{"text.0.value": "a"})
    kept = job.path / "request.json"
    kept.chmod(0o600)
    kept.write_text(content)
    before = len(app.store.recent(1000))
    assert post(app, f"/ui/jobs/{app.row(job).access}/again").status_code in (400, 409)
    assert len(app.store.recent(1000)) == before


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/", "/ui/"),
        ("/jobs", "/ui/"),
        ("/processes", "/ui/processes"),
        ("/processes/repeat_2", "/ui/processes/repeat_2"),
        (f"/jobs/{NOBODY}", f"/ui/jobs/{NOBODY}"),
    ],
)
def test_a_browser_that_follows_an_address_of_the_api_sees_its_page(
    app: InProcessService, path: str, page: str
) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
    answer = app.get(path, Accept=browser)
    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    assert "Accept" in answer.vary
    for program in ("*/*", "application/json", "application/json, text/html;q=0.5"):
        assert app.get(path, Accept=program).status_code in (200, 404)
    assert app.get("/wps?service=WPS&request=GetCapabilities", Accept=browser).status_code == 200


def test_pages_can_be_turned_off(tmp_path: Path) -> None:
    with open_service(tmp_path, hpc={"pages": "no"}) as without:
        assert b"<html" not in without.get("/ui/").data
