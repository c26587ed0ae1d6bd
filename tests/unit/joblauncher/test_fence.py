"""A launcher whose job is no longer its own leaves nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from joblauncher import lease, supervisor
from joblauncher.shared import exits, outcome, status_xml
from joblauncher.shared.files import atomic_write, write_together
from joblauncher.shared.jobdir import JobDir
from places import ROOT
from pywps_hpc.spool import Spool

WPS = status_xml.WPS
DOCUMENT = f'<wps:ExecuteResponse xmlns:wps="{WPS}"><wps:Status/></wps:ExecuteResponse>'.encode()


def status(state: str, message: str = "") -> bytes:
    return status_xml.replace(DOCUMENT, status_xml.Status(state, 10, message))


@pytest.fixture
def job(tmp_path: Path) -> JobDir:
    folder = tmp_path / "11111111-2222-4333-8444-555555555555"
    folder.mkdir()
    made = JobDir(folder)
    for path in (made.work, made.temporary, made.storage):
        path.mkdir()
    atomic_write(made.status, status("accepted"))
    return made


def facts(attempt: int, **more: str) -> outcome.Report:
    return outcome.Report(job="", process="counts", attempt=attempt, **more)  # type: ignore[arg-type]


def test_a_launcher_writes_while_nobody_began_later(job: JobDir) -> None:
    second = JobDir(job.path, attempt=1)
    job.lease(0).touch()
    lease.write(job, status("started", "first"), facts(0))
    second.lease(1).touch()
    with pytest.raises(lease.Superseded, match="attempt 1 of the job has begun"):
        lease.write(job, status("started", "late"), facts(0))
    lease.write(second, status("started", "second"), facts(1))
    assert status_xml.parse(job.status.read_bytes()).message == "second"
    found = outcome.read(job)
    assert found is not None
    assert found.attempt == 1


@pytest.mark.parametrize(("attempt", "cause"), [(1, "process"), (0, "dispatcher")])
@pytest.mark.parametrize("state", ["failed", "succeeded"])
def test_a_document_that_another_one_closed_stays(
    job: JobDir, attempt: int, cause: str, state: str
) -> None:
    job.lease(0).touch()
    closed = status(state, "closed")
    atomic_write(job.status, closed)
    facts(attempt, state=state, cause=cause).write(job)
    with pytest.raises(lease.Superseded, match="over already"):
        lease.write(job, status("started", "late"), facts(0))
    assert job.status.read_bytes() == closed


def test_a_launcher_may_say_more_about_its_own_end(job: JobDir) -> None:
    job.lease(0).touch()
    atomic_write(job.status, status("failed", "no outlet"))
    facts(0, state="failed", cause="process").write(job)
    lease.check(job)


def test_a_provisional_word_of_an_earlier_start_does_not_stop_the_next(job: JobDir) -> None:
    job.lease(0).touch()
    atomic_write(job.status, status("started", "stopped by the batch system (SIGTERM)"))
    facts(0, state="failed", cause="stopped").write(job)
    lease.check(JobDir(job.path, attempt=1))


def test_a_folder_that_is_gone_stops_nobody(job: JobDir) -> None:
    lease.check(JobDir(job.path.parent / "elsewhere"))


def test_each_attempt_works_in_folders_of_its_own(job: JobDir) -> None:
    (job.work / "half.txt").touch()
    (job.storage / "half.txt").touch()
    second = JobDir(job.path, attempt=1)
    supervisor._make_folders(second)
    assert second.work != job.work
    assert second.temporary != job.temporary
    assert not job.work.exists()
    assert [*second.work.iterdir(), *second.temporary.iterdir(), *second.storage.iterdir()] == []
    assert {*second.scratch()} >= {second.work, second.temporary, job.temporary}


def test_a_launcher_that_comes_too_late_does_nothing(job: JobDir) -> None:
    job.lease(0).touch()
    job.lease(1).touch()
    before = {path: path.stat().st_mtime_ns for path in job.path.rglob("*")}
    ended = subprocess.run(
        [sys.executable, "-m", "joblauncher", "--digest", "0" * 64, str(job.path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )
    assert ended.returncode == exits.NOT_MINE
    assert "attempt 1 of the job has begun" in ended.stderr
    assert {path: path.stat().st_mtime_ns for path in job.path.rglob("*")} == before


def test_the_fence_is_asked_when_all_is_on_disk(job: JobDir) -> None:
    """Somebody else's word that comes while a launcher's is written is not lost."""
    closed = status("failed", "the compute node failed")
    before = set(job.path.iterdir())

    def permit() -> None:
        atomic_write(job.status, closed)
        facts(0, state="failed", cause="dispatcher").write(job)
        lease.check(job)

    with pytest.raises(lease.Superseded):
        write_together({job.status: status("started"), job.report: b"{}"}, permit)
    assert job.status.read_bytes() == closed
    assert set(job.path.iterdir()) == before | {job.report}


def test_nothing_of_any_attempt_is_left_at_the_end(job: JobDir) -> None:
    supervisor._make_folders(JobDir(job.path, attempt=1))
    (job.path / ".status.xml.x1y2").touch()  # its writer was killed
    Spool(job.path.parent).delete_work(job.job_id)
    assert {path.name for path in job.path.iterdir()} == {"status.xml", "outputs"}


def test_an_attempt_that_counts_no_longer_leaves_no_folders(
    job: JobDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_until_superseded(*_: object) -> int:
        supervisor._take_lease(job)
        raise lease.Superseded("the job is over already")

    monkeypatch.setattr(supervisor, "_run", run_until_superseded)
    assert supervisor.main(job, "0" * 64, 0) == exits.NOT_MINE
    assert not job.work.exists()
    assert not job.temporary.exists()
    assert job.storage.exists()


@pytest.mark.parametrize("mode", [0, 0o300, 0o500])
def test_a_folder_whose_process_took_its_rights_is_made_usable(job: JobDir, mode: int) -> None:
    job.lease(0).touch()
    job.path.chmod(mode)
    lease.write(job, status("succeeded", "done"), facts(0, state="succeeded"))
    assert job.path.stat().st_mode & 0o777 == 0o700
