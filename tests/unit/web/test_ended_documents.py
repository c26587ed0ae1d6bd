"""The documents of ended jobs are kept by what they are made of, and clients need not read them
twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from in_process_service import InProcessService, open_service
from joblauncher.shared import status_xml
from pywps_hpc.jobs import State
from pywps_hpc.spool import JobDir
from pywps_hpc.web.wps1 import ended, status


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("service")) as opened:
        yield opened


def failed(service: InProcessService, user: str = "") -> JobDir:
    """A job that has ended."""
    job = service.accept(user=user)
    assert service.store.move(service.row(job), State.FAILED, message="first", cause="process")
    return job


def test_a_document_that_has_not_changed_is_made_and_sent_once(
    service: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, made = failed(service), []
    make = status.status_document

    def count(*arguments: Any) -> bytes:
        made.append(1)
        return make(*arguments)

    monkeypatch.setattr(status, "status_document", count)
    first, second = (service.get(f"/status/{job.access}") for _ in range(2))
    assert len(made) == 1
    assert first.get_data() == second.get_data()
    assert first.headers["Cache-Control"] == "private, no-cache"
    etag = first.headers["ETag"]
    again = service.get(f"/status/{job.access}", **{"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.get_data(), again.headers["ETag"]) == (304, b"", etag)
    other = service.get(f"/status/{job.access}", **{"If-None-Match": '"other"'})
    assert (other.status_code, other.get_data()) == (200, first.get_data())


def test_a_job_that_has_not_ended_is_never_kept(service: InProcessService) -> None:
    job = service.accept()
    answer = service.get(f"/status/{job.access}", **{"If-None-Match": "*"})
    assert answer.status_code == 200
    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("what", ["row", "document", "report", "mode"])
def test_whatever_a_document_is_made_of_changes_it(service: InProcessService, what: str) -> None:
    job = failed(service)
    before = service.get(f"/status/{job.access}")
    if what == "row":
        assert service.store.note(service.row(job), size=4711)
    elif what == "document":
        job.status.chmod(0o600)
        job.status.write_bytes(status_xml.made("p", status_xml.Status("failed", 100, "first")))
    elif what == "report":
        job.report.write_bytes(job.report.read_bytes() + b" ")
    else:
        job.status.chmod(0o640)
    after = service.get(f"/status/{job.access}", **{"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    assert after.headers["ETag"] != before.headers["ETag"]


def test_who_may_not_see_a_job_is_told_so_whatever_he_has_kept(service: InProcessService) -> None:
    job = failed(service, user="anna")
    shown = service.get(f"/status/{job.access}", user="anna")
    assert shown.status_code == 200
    kept = {"If-None-Match": shown.headers["ETag"]}
    assert service.get(f"/status/{job.access}", user="bert", **kept).status_code == 404
    service.forget(job)
    assert service.get(f"/status/{job.access}", user="anna", **kept).status_code != 304


def test_a_link_in_the_place_of_a_document_is_not_kept(
    service: InProcessService, tmp_path: Path
) -> None:
    job = failed(service)
    elsewhere = tmp_path / "document"
    job.status.rename(elsewhere)
    job.status.symlink_to(elsewhere)
    assert ended.key_of(service.row(job), job) is None
    assert "ETag" not in service.get(f"/status/{job.access}").headers


def test_only_so_many_documents_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended, "MOST", 3)
    monkeypatch.setattr(ended, "LARGEST", 5)
    known = ended.Documents()
    for key in range(5):
        known.put(key, b"short")
    known.put("large", b"longer")
    assert [key for key in (*range(5), "large") if known.get(key)] == [2, 3, 4]
