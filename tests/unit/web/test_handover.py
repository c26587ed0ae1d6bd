"""Files of jobs that nginx sends in the service's place: for whom, which, and never another one."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
from werkzeug.test import TestResponse

import wps2_client as wps2
from in_process_service import InProcessService, open_service
from joblauncher.shared import outcome
from pywps_hpc.jobs import State
from pywps_hpc.jobs.results import Form, keep
from pywps_hpc.spool import JobDir

NGINX, ELSEWHERE = "127.0.0.1", "192.0.2.7"
LOCATION = "/birds-spool/"
NAMES = ("map.nc", "a b.txt", "50%.txt", "was?.txt", "#1.txt", "Größe+.txt", "%2e%2e.txt", "d/e.f")
CONTENT = b"0123456789"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    own = {
        "user_header": "X-Remote-User",
        "trusted_proxies": NGINX,
        "accel_location": LOCATION,
        "cors": "*",
    }
    with open_service(tmp_path_factory.mktemp("handover"), hpc=own) as opened:
        yield opened


def ended(app: InProcessService, *names: str) -> JobDir:
    """A job of Anna's with outputs of these names; they are its results, too."""
    job = app.accept(user="anna")
    outputs = []
    for number, name in enumerate(names):
        file = job.outputs / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(CONTENT)
        outputs.append(told(job, quote(name), f"out{number}"))
    report(app, job, outputs)
    return job


def told(job: JobDir, name: str, identifier: str = "out0") -> dict[str, str]:
    """An output as a job's report has it."""
    href = f"http://127.0.0.1:9/outputs/{job.access}/{name}"
    return {
        "identifier": identifier,
        "type": "complex",
        "mimetype": "text/x-mine",
        "href": href,
    }


def report(app: InProcessService, job: JobDir, outputs: list[dict[str, str]]) -> None:
    told = outcome.Report(
        job.job_id, "repeat_2", state=outcome.SUCCEEDED, percent=100, started=1.0, finished=2.0
    )
    told.outputs = outputs
    told.write(job)
    for state in (State.SUBMITTING, State.QUEUED, State.RUNNING, State.SUCCEEDED):
        assert app.store.move(app.row(job), state) is not None


def ask(
    app: InProcessService,
    path: str,
    who: str = "anna",
    peer: str = NGINX,
    method: str = "GET",
    **headers: str,
) -> TestResponse:
    """A request of an account, through nginx or to the service itself."""
    named = {"X-Remote-User": who} if peer == NGINX else {}
    return app.web.open(
        path,
        method=method,
        headers=named | {k.replace("_", "-"): v for k, v in headers.items()},
        environ_overrides={"REMOTE_ADDR": peer} | ({} if named else {"REMOTE_USER": who}),
    )


def raw_result(app: InProcessService, job: JobDir) -> str:
    """The address of a job's first output by WPS 2.0, as it is."""
    if not job.form.exists():
        keep(job, Form(raw=True))
    return f"/wps?service=WPS&version=2.0.0&request=GetResult&jobid={job.access}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nginx_is_told_of_the_file_and_of_nothing_else(
    app: InProcessService, name: str, method: str
) -> None:
    job = ended(app, name)
    for path in (
        f"/outputs/{job.access}/{quote(name)}",
        f"/jobs/{job.access}/results/out0",
        *([raw_result(app, job)] if method == "GET" else []),
    ):
        answer = ask(app, path, method=method, Range="bytes=2-4", If_None_Match="*")
        assert (answer.status_code, answer.data) == (200, b""), path
        at = answer.headers["X-Accel-Redirect"]
        inside = unquote(at.removeprefix(LOCATION))
        assert app.spool.root / inside == job.outputs / name
        assert at == LOCATION + quote(inside)
        assert answer.headers["Cache-Control"], path
        # Which are those of a file of no bytes here.
        for header in ("ETag", "Last-Modified", "Content-Range", "Accept-Ranges"):
            assert header not in answer.headers, path


def test_what_kind_of_file_it_is_and_how_long_it_holds_are_told_as_ever(
    app: InProcessService,
) -> None:
    job = ended(app, "map.nc")
    for path in (f"/outputs/{job.access}/map.nc", f"/jobs/{job.access}/results/out0"):
        by_nginx, by_service = (
            ask(app, path, peer=peer, Origin="https://a.page").headers
            for peer in (NGINX, ELSEWHERE)
        )
        for header in ("Content-Type", "Content-Disposition", "Cache-Control"):
            assert by_nginx.get(header) == by_service.get(header)


def test_who_does_not_come_through_nginx_gets_the_file_itself(app: InProcessService) -> None:
    job = ended(app, "a.txt")
    path = f"/outputs/{job.access}/a.txt"
    answer = ask(app, path, peer=ELSEWHERE, Range="bytes=2-4", X_Accel_Redirect="/etc/passwd")
    assert (answer.status_code, answer.data) == (206, CONTENT[2:5])
    assert "X-Accel-Redirect" not in answer.headers


def test_the_answer_to_another_method_is_the_services_own(app: InProcessService) -> None:
    job = ended(app, "a.txt")
    raw_result(app, job)
    body = wps2.document("GetResult", f"<wps:JobID>{job.access}</wps:JobID>")
    answer = app.web.post(
        "/wps",
        data=body,
        content_type="text/xml",
        headers={"X-Remote-User": "anna"},
        environ_overrides={"REMOTE_ADDR": NGINX},
    )
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert "X-Accel-Redirect" not in answer.headers


@pytest.mark.parametrize("who", ["ben", "", "Anna"])
def test_nginx_is_told_of_no_file_that_is_somebody_elses(app: InProcessService, who: str) -> None:
    job = ended(app, "a.txt")
    for path in (
        f"/outputs/{job.access}/a.txt",
        f"/jobs/{job.access}/results/out0",
        raw_result(app, job),
    ):
        answer = ask(app, path, who)
        assert answer.status_code in (400, 404), path
        assert "X-Accel-Redirect" not in answer.headers


TRAPS = (
    "../status.xml",
    "%2e%2e/status.xml",
    "..%2Fstatus.xml",
    "x%2F..%2F..%2F..%2F{other}%2Foutputs%2F{access}%2Fa.txt",
    "..%2F..%2F..%2F{other}%2Foutputs%2F{access}%2Fa.txt",
    "%2Fetc%2Fpasswd",
    "link.txt",
    "folder/passwd",
    "a.txt%00",
    "",
)


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("peer", [NGINX, ELSEWHERE])
def test_neither_nginx_nor_the_service_leaves_a_jobs_outputs(
    app: InProcessService, trap: str, peer: str
) -> None:
    other, job = ended(app, "a.txt"), app.accept(user="anna")
    (job.outputs / "x").mkdir(parents=True)
    (job.outputs / "link.txt").symlink_to("/etc/passwd")
    (job.outputs / "folder").symlink_to("/etc")
    name = trap.format(other=other.job_id, access=other.access)
    report(app, job, [told(job, name)])
    for path in (
        f"/outputs/{job.access}/{name}",
        f"/jobs/{job.access}/results/out0",
        raw_result(app, job),
    ):
        answer = ask(app, path, peer=peer)
        assert answer.status_code >= 400, path
        assert "X-Accel-Redirect" not in answer.headers, path
        assert CONTENT not in answer.data, path
